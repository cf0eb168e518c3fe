/** What happens at the limits of a process, and afterwards. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { descriptors, mappedExtents, memory, warm } from '../support/kernel-view.ts'
import { metric } from '../support/metrics.ts'
import {
  type Answer,
  get,
  makeOld,
  patternBytes,
  serve,
  tempFolder,
  until,
  writePattern
} from '../support/serve.ts'

const MiB = 2 ** 20

function countOf(answers: readonly (Answer | Error)[], status: number): number {
  return answers.filter((answer) => !(answer instanceof Error) && answer.status === status).length
}

function openDescriptors(pid: number): number {
  return fs.readdirSync(`/proc/${pid}/fd`).length
}

describe('128 file descriptors', () => {
  it('400 connections for 500 files: each is answered right, or with 503, and then all as before', async (t) => {
    const root = tempFolder(t)
    for (let n = 0; n < 500; n++) fs.writeFileSync(join(root, `f${n}`), patternBytes(n, n + 20_000))
    const server = await serve(t, root, ['--ops-port', '0'], { under: ['prlimit', '--nofile=128'] })
    assert.equal((await get(`${server.url}f0`)).status, 200)
    const before = openDescriptors(server.pid)
    const agent = new http.Agent({ keepAlive: true, maxSockets: 400 })
    t.after(() => agent.destroy())
    const answers = await Promise.all(
      Array.from({ length: 1200 }, async (_, n) => {
        const answer = await get(`${server.url}f${n % 500}`, { agent }).catch((e: Error) => e)
        if (!(answer instanceof Error) && answer.status === 200) {
          assert.ok(answer.body.equals(patternBytes(n % 500, (n % 500) + 20_000)))
        }
        return answer
      })
    )
    assert.ok(countOf(answers, 200) >= 40, `${countOf(answers, 200)} right`)
    assert.ok(countOf(answers, 503) > 0)
    for (const answer of answers) {
      // there is no descriptor to refuse so many connections politely: some are reset
      if (answer instanceof Error) assert.equal((answer as { code?: string }).code, 'ECONNRESET')
      else if (answer.status !== 200) {
        assert.equal(answer.status, 503)
        assert.equal(answer.headers['retry-after'], '1')
      }
    }
    agent.destroy()
    await until('descriptors are back', () => openDescriptors(server.pid) < before + 70)
    for (let n = 0; n < 500; n += 7) {
      const { status, body } = await get(`${server.url}f${n}`)
      assert.equal(status, 200)
      assert.ok(body.equals(patternBytes(n, n + 20_000)))
    }
    assert.ok(openDescriptors(server.pid) <= 128)
  })

  it('connections beyond --max-connections get 503 on the files, never on health', async (t) => {
    const root = tempFolder(t)
    writePattern(join(root, 'a'), 1000)
    const server = await serve(t, root, ['--max-connections', '8'])
    const agent = new http.Agent({ keepAlive: true, maxSockets: 10 })
    t.after(() => agent.destroy())
    const ask = (url: string) =>
      Promise.all(Array.from({ length: 10 }, () => get(url, { agent }).catch((e: Error) => e)))
    // all ten are open at the same time from here on
    assert.equal(countOf(await ask(`${server.origin}/healthz`), 200), 10)
    const answers = await ask(`${server.url}a`)
    assert.equal(countOf(answers, 200), 8)
    assert.equal(countOf(answers, 503), 2)
    assert.equal(await metric(server.origin, 'requests_shed_total{reason="connections"}'), 2)
    agent.destroy()
    await until('there is room again', async () => (await get(`${server.url}a`)).status === 200)
  })
})

describe('memory maps', () => {
  it('are fewer than vm.max_map_count allows, however many are wanted, and come back', async (t) => {
    const most = Number(fs.readFileSync('/proc/sys/vm/max_map_count', 'utf8'))
    if (most > 200_000) return t.skip(`vm.max_map_count is ${most}, too many to exhaust here`)
    const root = tempFolder(t)
    const path = join(root, 'sparse')
    const size = (most + 4000) * 4096
    fs.writeFileSync(path, '')
    fs.truncateSync(path, size)
    const marks = [0, 1000, most / 2, most - 10, most + 3000].map((n) => Math.floor(n) * 4096 + 77)
    const fd = fs.openSync(path, 'r+')
    for (const [n, at] of marks.entries()) fs.writeSync(fd, Buffer.from([n + 1]), 0, 1, at)
    fs.closeSync(fd)
    // or much of it is copied before it is old enough to be mapped
    makeOld(path)
    warm(path)
    writePattern(join(root, 'small'), 10_000)
    const server = await serve(t, root, ['--region-bytes', '4KiB', '--log-level', 'info'])
    const { status, body } = await get(`${server.url}sparse`)
    assert.equal(status, 200)
    assert.equal(body.length, size)
    for (const [n, at] of marks.entries()) {
      assert.equal(body[at], n + 1)
      body[at] = 0
    }
    assert.ok(body.equals(Buffer.alloc(size)))
    // what a slow client does not take at once is copied, and maps nothing
    const evictions = () => metric(server.origin, 'region_evictions_total')
    for (let n = 0; n < 5 && (await evictions()) === 0; n++) await get(`${server.url}sparse`)
    const maps = fs.readFileSync(`/proc/${server.pid}/maps`, 'utf8').split('\n').length
    assert.ok(maps > most / 3 && maps < most, `${maps} maps`)
    assert.ok((await evictions()) > 0, 'the limit was reached')
    assert.ok((await get(`${server.url}small`)).body.equals(patternBytes(0, 10_000)))
    fs.rmSync(path)
    await until('its maps are gone', () => mappedExtents(path, server.pid).length === 0, 30_000)
    assert.ok(fs.readFileSync(`/proc/${server.pid}/maps`, 'utf8').split('\n').length < most / 2)
  })

  it('a tiny --max-mapped-bytes: right bytes, and no more mapped than that', async (t) => {
    const root = tempFolder(t)
    for (const name of ['a', 'b', 'c']) writePattern(join(root, name), MiB)
    const args = ['--max-mapped-bytes', '256KiB', '--region-bytes', '64KiB']
    const server = await serve(t, root, args)
    await Promise.all(
      Array.from({ length: 60 }, async (_, n) => {
        const start = (n * 77_777) % (MiB - 200_000)
        const headers = { range: `bytes=${start}-${start + 199_999}` }
        const { body } = await get(`${server.url}${'abc'[n % 3]}`, { headers })
        assert.ok(body.equals(patternBytes(start, start + 200_000)))
      })
    )
    assert.ok((await metric(server.origin, 'mapped_bytes')) <= 256 * 1024)
    const mapped = ['a', 'b', 'c'].flatMap((name) => mappedExtents(join(root, name), server.pid))
    assert.ok(mapped.reduce((sum, { length }) => sum + length, 0) <= 256 * 1024)
  })
})

describe('5,000 files, once each', () => {
  it('are right, and leave descriptors and memory bounded', async (t) => {
    const root = tempFolder(t)
    const bytes = patternBytes(0, 30_000)
    for (let n = 0; n < 5000; n++) fs.writeFileSync(join(root, `f${n}`), bytes.subarray(n))
    const server = await serve(t, root, ['--max-open-files', '200', '--log-level', 'info'])
    const agent = new http.Agent({ keepAlive: true, maxSockets: 16 })
    t.after(() => agent.destroy())
    const ask = async (n: number) => {
      const { status, body } = await get(`${server.url}f${n}`, { agent })
      assert.equal(status, 200)
      assert.ok(body.equals(bytes.subarray(n)))
    }
    await Promise.all(Array.from({ length: 500 }, (_, n) => ask(n)))
    const before = memory('RssAnon', server.pid)
    for (let n = 500; n < 5000; n += 500) {
      await Promise.all(Array.from({ length: 500 }, (_, i) => ask(n + i)))
    }
    await until('as few are open as are kept', () => descriptors(root, server.pid) <= 200)
    assert.ok((await metric(server.origin, 'mapped_regions')) <= 200)
    const grownMiB = (memory('RssAnon', server.pid) - before) / MiB
    assert.ok(grownMiB < 40, `${Math.round(grownMiB)} MiB more`)
  })
})

describe('an event loop that is late', () => {
  it('sheds files with 503 and Retry-After, not health, and serves again when it is not', async (t) => {
    const root = tempFolder(t)
    writePattern(join(root, 'a'), 1000)
    const server = await serve(t, root, ['--max-event-loop-delay', '100ms'])
    const deadline = Date.now() + 20_000
    let refused: Answer | undefined
    // a process that gets the CPU now and then only
    while (refused === undefined && Date.now() < deadline) {
      server.child.kill('SIGSTOP')
      await wait(600)
      server.child.kill('SIGCONT')
      const [file, health] = await Promise.all([
        get(`${server.url}a`),
        get(`${server.origin}/healthz`)
      ])
      assert.equal(health.status, 200)
      if (file.status === 503) refused = file
    }
    assert.equal(refused?.headers['retry-after'], '1')
    assert.match(refused?.body.toString() ?? '', /"message":"the server has too much to do"/)
    assert.ok((await metric(server.origin, 'requests_shed_total{reason="event_loop"}')) > 0)
    await until('it serves again', async () => (await get(`${server.url}a`)).status === 200)
  })
})

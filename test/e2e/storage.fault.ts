/** Storage that is slow or fails, and memory that is short: what others are served meanwhile. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import { createServer } from 'node:net'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { LeftOut } from '#src/advise/left-out.ts'
import { limitMemory } from '#src/advise/memory-limit.ts'
import { mountFaultFs, whyNoFaultFs } from '../support/fault-fs.ts'
import { dropPages } from '../support/kernel-view.ts'
import { metric } from '../support/metrics.ts'
import {
  get,
  patternBytes,
  type ServeOptions,
  serve,
  tempFolder,
  until,
  writePattern
} from '../support/serve.ts'
import { nobody, unprivileged } from '../support/unprivileged.ts'

const KiB = 1024
const MiB = 2 ** 20
const GiB = 2 ** 30
const skip = whyNoFaultFs() ?? false
const hotBytes = 64 * KiB
const zeros = Buffer.alloc(64 * KiB)

function fill(folder: string): void {
  writePattern(path.join(folder, 'hot'), hotBytes)
  fs.writeFileSync(path.join(folder, 'slow-large'), '')
  fs.truncateSync(path.join(folder, 'slow-large'), 4 * GiB)
  for (let n = 0; n < 300; n++) fs.writeFileSync(path.join(folder, `slow-new-${n}`), `${n}`)
}

/** Bytes [start, start + 4 KiB) of the small file that everybody wants. */
async function getHot(url: string, agent: http.Agent): Promise<void> {
  const start = Math.floor(Math.random() * (hotBytes - 4096))
  const headers = { range: `bytes=${start}-${start + 4095}` }
  const { status, body } = await get(`${url}hot`, { agent, headers })
  assert.equal(status, 206)
  assert.ok(body.equals(patternBytes(start, start + 4096)))
}

async function getCold(url: string, agent: http.Agent): Promise<void> {
  const start = Math.floor(Math.random() * (4 * GiB - 64 * KiB))
  const headers = { range: `bytes=${start}-${start + 64 * KiB - 1}` }
  const { status, body } = await get(`${url}slow-large`, { agent, headers })
  assert.equal(status, 206)
  assert.ok(body.equals(zeros))
}

describe('reads that take half a second', { skip }, () => {
  for (const [name, user] of [
    ['the owner of the files', {}],
    ['another user, whom mincore(2) tells nothing', nobody]
  ] as const) {
    for (const [what, faults] of [
      ['reading', { slowMs: 500 }],
      ['opening', { metaMs: 100 }]
    ] as const) {
      it(`while 100 wait for ${what}, what is in memory is served; as ${name}`, async (t) => {
        if (user === nobody && unprivileged(t) === undefined) return
        const root = await mountFaultFs(t, faults, fill)
        const server = await serve(t, root, ['--ops-port', '0'], user)
        const agent = new http.Agent({ keepAlive: true })
        t.after(() => agent.destroy())
        const faultName = 'event_loop_page_faults_total{kind="major"}'
        await get(`${server.url}hot`) // all of it is in memory from here on
        const before = await metric(server.opsUrl as string, faultName)
        let ended = 0
        const others = Array.from({ length: 100 }, async (_, n) => {
          if (what === 'reading') await getCold(server.url, agent)
          else assert.equal((await get(`${server.url}slow-new-${n}`)).body.toString(), `${n}`)
          ended++
        })
        // they have reached the disk, and not come back
        await wait(50)
        for (let n = 0; n < 30; n++) await getHot(server.url, agent)
        assert.equal(ended, 0, 'the others were faster: nothing is shown')
        await Promise.all(others)
        assert.equal(await metric(server.opsUrl as string, faultName), before)
      })
    }
  }

  it('more than may wait get 503 with Retry-After, and later what they want', async (t) => {
    const root = await mountFaultFs(t, { slowMs: 500 }, fill)
    const server = await serve(t, root, ['--max-waiting-reads', '10'])
    const agent = new http.Agent({ keepAlive: true })
    t.after(() => agent.destroy())
    await get(`${server.url}hot`)
    const ask = (n: number) => {
      const headers = { range: `bytes=${n * 5 * MiB}-${n * 5 * MiB + 99}` }
      return get(`${server.url}slow-large`, { agent, headers })
    }
    const answers = Promise.all(Array.from({ length: 100 }, (_, n) => ask(n)))
    await wait(100)
    await getHot(server.url, agent)
    const refused = (await answers).filter(({ status }) => status !== 206)
    // 12 of one file are read, 10 wait
    assert.equal(refused.length, 78)
    for (const { status, headers } of refused) {
      assert.equal(status, 503)
      assert.equal(headers['retry-after'], '1')
    }
    assert.equal(await metric(server.origin, 'requests_shed_total{reason="reads"}'), 78)
    assert.equal(await metric(server.origin, 'waiting_reads'), 0)
    assert.equal((await ask(99)).status, 206)
  })
})

describe('a disk that fails', { skip }, () => {
  const bad = (folder: string) => {
    writePattern(path.join(folder, 'bad-disk'), 4 * MiB)
    writePattern(path.join(folder, 'hot'), hotBytes)
  }
  const logged = async (server: { log: Record<string, unknown>[] }, message: string) => {
    const find = () => server.log.find(({ msg }) => msg === message)
    await until(message, () => find() !== undefined)
    return find() as Record<string, unknown>
  }

  for (const mode of ['mmap', 'read']) {
    it(`EIO before the first byte is 500, later a cut; other files go on; ${mode}`, async (t) => {
      const root = await mountFaultFs(t, { badFrom: 2 * MiB }, bad)
      const server = await serve(t, root, ['--mode', mode, '--window-bytes', '64KiB'])
      const agent = new http.Agent({ keepAlive: true })
      t.after(() => agent.destroy())
      const headers = { range: `bytes=${3 * MiB}-${3 * MiB + 99}` }
      const { status, body } = await get(`${server.url}bad-disk`, { headers })
      assert.equal(status, 500)
      assert.ok(!body.includes(root) && !body.includes('EIO'))
      const failed = await logged(server, 'the file could not be read')
      assert.deepEqual([failed.path, failed.reason, failed.offset], ['bad-disk', 'EIO', 3 * MiB])
      let received = Buffer.alloc(0)
      await assert.rejects(
        new Promise((resolve, reject) => {
          const request = http.get(`${server.url}bad-disk`, { agent: false }, (response) => {
            assert.equal(response.statusCode, 200)
            response.on('data', (chunk: Buffer) => {
              received = Buffer.concat([received, chunk])
            })
            response.on('error', reject).on('end', resolve)
          })
          request.on('error', reject)
        })
      )
      assert.ok(received.length <= 2 * MiB)
      assert.ok(received.equals(patternBytes(0, received.length)))
      const cut = await logged(server, 'response cut')
      assert.equal(cut.path, 'bad-disk')
      assert.equal(cut.reason, 'read_failed')
      assert.ok(Number(cut.offset) <= 2 * MiB && Number(cut.offset) > MiB)
      assert.equal(await metric(server.origin, 'body_failures_total{reason="read_failed"}'), 1)
      await getHot(server.url, agent)
    })
  }

  it('a page of a mapping that cannot be had is a cut by EFAULT, not a SIGBUS', async (t) => {
    const root = await mountFaultFs(t, { badFrom: 2 * MiB }, bad)
    // without the guard, because with it no cold page is sent from a mapping
    const server = await serve(t, root, ['--guard', 'off'])
    const headers = { range: `bytes=${3 * MiB}-${3 * MiB + 99_999}` }
    await assert.rejects(get(`${server.url}bad-disk`, { headers }))
    assert.equal((await logged(server, 'response cut')).path, 'bad-disk')
    assert.equal(await metric(server.origin, 'body_failures_total{reason="truncated"}'), 1)
    const agent = new http.Agent()
    await getHot(server.url, agent)
    agent.destroy()
    assert.equal(server.child.exitCode, null)
  })
})

describe('less memory than data', () => {
  for (const mode of ['mmap', 'read']) {
    it(`${mode}: right, alive, no stall of the event loop`, async (t) => {
      const folder = tempFolder(t)
      const file = path.join(folder, 'large')
      const bytes = randomFillSync(Buffer.alloc(384 * MiB))
      fs.writeFileSync(file, bytes)
      dropPages(file)
      const limit = tryLimit(t, 128 * MiB)
      if (limit === undefined) return
      const under = ['sh', '-c', 'echo $$ > "$0" && exec "$@"', limit.file]
      const server = await serve(t, folder, ['--mode', mode, '--log-level', 'info'], { under })
      // after the end of the server, which was told before
      t.after(() => limit.remove())
      const agent = new http.Agent({ keepAlive: true })
      t.after(() => agent.destroy())
      const end = performance.now() + 8000
      let requests = 0
      const readers = Array.from({ length: 16 }, async () => {
        while (performance.now() < end) {
          const start = Math.floor(Math.random() * (bytes.length - 64 * KiB))
          const headers = { range: `bytes=${start}-${start + 64 * KiB - 1}` }
          const { status, body } = await get(`${server.url}large`, { agent, headers })
          assert.equal(status, 206)
          assert.ok(body.equals(bytes.subarray(start, start + 64 * KiB)))
          requests++
        }
      })
      await Promise.all(readers)
      const faults = await metric(server.origin, 'event_loop_page_faults_total{kind="major"}')
      const stalls = server.log.filter(({ msg }) => msg === 'the event loop stalled').length
      t.diagnostic(JSON.stringify({ mode, requests, eventLoopMajorFaults: faults, stalls }))
      // a page may be evicted between the question and the write, which is a matter of microseconds
      assert.ok(faults <= requests / 100, `${faults} major faults in ${requests} requests`)
      assert.equal(server.child.exitCode, null)
    })
  }

  function tryLimit(t: TestContext, bytes: number) {
    try {
      return limitMemory(bytes, t.name)
    } catch (error) {
      if (!(error instanceof LeftOut)) throw error
      t.skip(error.message)
      return undefined
    }
  }
})

/** No assertion here: these are the figures of docs/reliability.md. */
describe('figures: a hot request every 5 ms while others read what takes 20 ms', { skip }, () => {
  const cases: readonly (readonly [name: string, readers: number, options: ServeOptions])[] = [
    ['owner', 8, {}],
    ['owner', 64, {}],
    ['another user', 8, nobody],
    ['another user', 64, nobody]
  ]
  for (const [user, readers, options] of cases) {
    it(`${user}, ${readers} readers`, async (t) => {
      const root = await mountFaultFs(t, { slowMs: 20, metaMs: 20 }, fill)
      const server = await serve(t, root, ['--log-level', 'info'], options)
      t.diagnostic(JSON.stringify(await hotLatencies(server.url, readers)))
    })
  }
  for (const sendfile of ['on', 'off']) {
    it(`nginx, sendfile ${sendfile}, 8 readers`, async (t) => {
      if (spawnSync('nginx', ['-v']).error) return t.skip('nginx is not installed')
      const root = await mountFaultFs(t, { slowMs: 20, metaMs: 20 }, fill)
      t.diagnostic(JSON.stringify(await hotLatencies(await startNginx(t, root, sendfile), 8)))
    })
  }
})

async function hotLatencies(url: string, readers: number) {
  const agent = new http.Agent({ keepAlive: true })
  await get(`${url}hot`)
  for (let n = 0; n < 50; n++) await getHot(url, agent)
  const alone = await everyFive(() => getHot(url, agent), 3000)
  const over = new AbortController()
  const others = Array.from({ length: readers }, async () => {
    while (!over.signal.aborted) await getCold(url, agent)
  })
  await wait(200)
  const beside = await everyFive(() => getHot(url, agent), 5000)
  over.abort()
  await Promise.all(others)
  agent.destroy()
  return { readers, msAlone: alone, msBeside: beside }
}

// a server that stands still is not asked for ever more
const mostOutstanding = 50

/** Requests that begin every 5 ms, however long those before take. */
async function everyFive(ask: () => Promise<void>, durationMs: number) {
  const ms: number[] = []
  const begunAtMs = performance.now()
  const all: Promise<void>[] = []
  let outstanding = 0
  for (let n = 0; n * 5 < durationMs; n++) {
    await wait(Math.max(0, begunAtMs + n * 5 - performance.now()))
    if (outstanding === mostOutstanding) continue
    const startedAtMs = performance.now()
    const answered = () => {
      outstanding--
      ms.push(performance.now() - startedAtMs)
    }
    outstanding++
    all.push(ask().then(answered))
  }
  await Promise.all(all)
  ms.sort((a, b) => a - b)
  const at = (share: number) => Math.round((ms[Math.floor(ms.length * share)] ?? 0) * 100) / 100
  return { answers: ms.length, p50: at(0.5), p99: at(0.99), max: at(0.9999) }
}

/** One worker with its defaults, as one process of ours. */
async function startNginx(t: TestContext, root: string, sendfile: string): Promise<string> {
  const folder = tempFolder(t)
  fs.chmodSync(folder, 0o755)
  const probe = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => probe.once('listening', resolve))
  const { port } = probe.address() as { port: number }
  await new Promise((resolve) => probe.close(resolve))
  const config = path.join(folder, 'nginx.conf')
  fs.writeFileSync(
    config,
    `daemon off; master_process off; user root; pid ${folder}/pid; error_log ${folder}/error.log;
     events { worker_connections 1000; }
     http { access_log off; sendfile ${sendfile}; keepalive_requests 1000000;
            client_body_temp_path ${folder}; server { listen 127.0.0.1:${port}; location /files/ { alias ${root}/; } } }`
  )
  const child = spawn('nginx', ['-c', config, '-p', folder], { stdio: 'ignore' })
  t.after(() => child.kill('SIGKILL'))
  const url = `http://127.0.0.1:${port}/files/`
  await until('nginx answers', () =>
    get(`${url}hot`).then(
      ({ status }) => status === 200,
      () => false
    )
  )
  return url
}

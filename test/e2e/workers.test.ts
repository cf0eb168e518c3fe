/** Several processes on one port: who dies is replaced, nobody else notices, and the numbers add up. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import path from 'node:path'
import { describe, it } from 'node:test'
import { restartDelayMs } from '#src/process/workers.ts'
import { get, mainFile, type Serving, serve, tempFolder, writePattern } from '../support/serve.ts'

const rangeBytes = 1000

describe('--workers', () => {
  it('serves from several processes, told of in one line of the log', async (t) => {
    const { serving, bytes } = await serveFile(t)
    assert.equal(serving.log.filter(({ msg }) => msg === 'listening').length, 1)
    const line = serving.log.find(({ msg }) => msg === 'listening')
    assert.equal(line?.workers, 2)
    assert.equal(line?.mode, 'mmap')
    assert.equal(line?.guard, 'on')
    assert.equal(workerPids(serving).length, 2)
    for (let i = 0; i < 10; i++) await assertRange(serving, bytes, i * rangeBytes)
    assert.equal(counted(await metrics(serving), '206'), 10, 'the sum of both workers')
  })

  it('sums the metrics without an ops port as well', async (t) => {
    const { serving, bytes } = await serveFile(t, [])
    for (let i = 0; i < 6; i++) await assertRange(serving, bytes, 0)
    const text = (await get(`${serving.origin}/metrics`)).body.toString()
    assert.equal(counted(text, '206'), 6)
    assert.equal((await get(`${serving.origin}/readyz`)).status, 200)
    assert.equal((await get(`${serving.origin}/healthz`)).status, 200)
  })

  it('says what runs once, how many serve, and the worst event loop, not a sum', async (t) => {
    const { serving } = await serveFile(t)
    const text = await metrics(serving)
    assert.match(text, /^range_server_info\{.*\} 1$/m)
    assert.match(text, /^range_server_workers 2$/m)
    assert.match(text, /^process_start_time_seconds \d{10}/m)
    const openMetrics = await get(`${serving.opsUrl}/metrics`, {
      headers: { accept: 'application/openmetrics-text; version=1.0.0' }
    })
    assert.match(openMetrics.body.toString(), /# EOF\n?$/)
  })

  it('a killed worker is replaced, and no other connection is lost', async (t) => {
    const { serving, bytes } = await serveFile(t)
    const before = workerPids(serving)
    const agents = [new http.Agent({ keepAlive: true }), new http.Agent({ keepAlive: true })]
    t.after(() => agents.forEach((agent) => void agent.destroy()))
    // connections go to the workers in turn
    for (const agent of agents) await assertRange(serving, bytes, 0, agent)
    process.kill(before[0] as number, 'SIGKILL')
    await until(async () => {
      const now = workerPids(serving)
      return now.length === 2 && !now.includes(before[0] as number)
    })
    const outcomes = await Promise.allSettled(
      agents.map((agent) => assertRange(serving, bytes, 5000, agent))
    )
    // the one that was the dead worker's may have been noticed as closed, and made anew
    assert.ok(outcomes.filter(({ status }) => status === 'fulfilled').length >= 1)
    for (let i = 0; i < 6; i++) await assertRange(serving, bytes, 0)
    assert.equal((await get(`${serving.opsUrl}/readyz`)).status, 200)
  })

  it('counters do not go backwards when workers are replaced', async (t) => {
    const { serving, bytes } = await serveFile(t)
    for (let i = 0; i < 8; i++) await assertRange(serving, bytes, 0)
    const before = counters(await metrics(serving))
    const pids = workerPids(serving)
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    await until(async () => {
      const now = workerPids(serving)
      return now.length === 2 && now.every((pid) => !pids.includes(pid)) && (await isUp(serving))
    })
    const after = counters(await metrics(serving))
    assert.ok(before.size > 20)
    for (const [series, value] of before) {
      assert.ok((after.get(series) ?? 0) >= value, `${series}: ${value}, then ${after.get(series)}`)
    }
    await assertRange(serving, bytes, 0)
    assert.equal(counted(await metrics(serving), '206'), 9)
  })

  it('SIGTERM lets running answers end, whichever worker gives them', async (t) => {
    const { serving, bytes } = await serveFile(t)
    const downloads = await Promise.all([1, 2, 3, 4].map(() => begin(serving)))
    serving.child.kill('SIGTERM')
    await until(async () => {
      const answer = await get(`${serving.opsUrl}/readyz`)
      return answer.status === 503 && /draining/.test(answer.body.toString())
    })
    await until(async () => (await connects(serving.port)) === false)
    for (const download of downloads) {
      assert.ok((await rest(download)).equals(bytes))
    }
    assert.deepEqual(await serving.exited, { code: 0, signal: null })
  })

  it('a second signal ends all at once', async (t) => {
    const { serving } = await serveFile(t)
    const pids = workerPids(serving)
    const download = await begin(serving)
    download.on('error', () => {})
    serving.child.kill('SIGTERM')
    await until(async () => (await get(`${serving.opsUrl}/readyz`)).status === 503)
    serving.child.kill('SIGTERM')
    assert.equal((await serving.exited).code, 1)
    await until(async () => pids.every((pid) => !isAlive(pid)))
  })

  it('signals that reach every process of the group drain as well', async (t) => {
    const { serving, bytes } = await serveFile(t)
    const download = await begin(serving)
    for (const pid of [...workerPids(serving), serving.pid]) process.kill(pid, 'SIGINT')
    assert.ok((await rest(download)).equals(bytes))
    assert.deepEqual(await serving.exited, { code: 0, signal: null })
  })

  it('workers end when their parent is killed', async (t) => {
    const { serving } = await serveFile(t)
    const pids = workerPids(serving)
    serving.child.kill('SIGKILL')
    await until(async () => pids.every((pid) => !isAlive(pid)))
  })

  it('what is asked of residency and warming is answered by the parent', async (t) => {
    const { serving, bytes } = await serveFile(t)
    const warmed = await get(`${serving.opsUrl}/warm/file.bin`, { method: 'POST' })
    assert.equal(warmed.status, 200)
    const residency = await get(`${serving.opsUrl}/residency/file.bin`)
    assert.equal(JSON.parse(residency.body.toString()).size, bytes.length)
  })

  it('is ready only after what --warm names was read, once for all', async (t) => {
    const { serving } = await serveFile(t, ['--ops-port', '0', '--warm', '*.bin'])
    await until(async () => (await get(`${serving.opsUrl}/readyz`)).status === 200)
  })

  it('a port that is taken is one line and exit status 1', async (t) => {
    const taken = net.createServer().listen(0, '127.0.0.1')
    t.after(() => taken.close())
    await once(taken, 'listening')
    const { port } = taken.address() as net.AddressInfo
    for (const args of [
      ['--port', `${port}`],
      ['--port', '0', '--ops-port', `${port}`]
    ]) {
      const { status, stderr } = run(['--workers', '2', ...args])
      assert.equal(status, 1)
      assert.equal(stderr, `cannot listen on 127.0.0.1:${port}: the port is taken\n`)
    }
  })
})

it('one death costs no delay, a crash loop ever more', () => {
  assert.deepEqual([0, 1, 2, 3, 4, 50].map(restartDelayMs), [0, 0, 100, 200, 400, 10_000])
})

async function serveFile(t: Parameters<typeof tempFolder>[0], args = ['--ops-port', '0']) {
  const root = tempFolder(t)
  const bytes = writePattern(path.join(root, 'file.bin'), 24 * 2 ** 20)
  const serving = await serve(t, root, ['--workers', '2', ...args])
  return { serving, bytes }
}

async function assertRange(serving: Serving, bytes: Buffer, start: number, agent?: http.Agent) {
  const range = `bytes=${start}-${start + rangeBytes - 1}`
  const answer = await get(`${serving.url}file.bin`, {
    headers: { range },
    ...(agent === undefined ? {} : { agent })
  })
  assert.equal(answer.status, 206)
  assert.ok(answer.body.equals(bytes.subarray(start, start + rangeBytes)))
}

/** Children of the parent that live. */
function workerPids({ pid }: Serving): number[] {
  const text = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.trim().split(' ').filter(Boolean).map(Number)
}

function isAlive(pid: number): boolean {
  try {
    // a zombie that nobody has waited for yet is dead
    return !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

async function metrics(serving: Serving): Promise<string> {
  return (await get(`${serving.opsUrl}/metrics`)).body.toString()
}

/** Answers to requests for files with a status. */
function counted(text: string, status: string): number {
  const lines = text.matchAll(/^http_request_duration_seconds_count\{(.*)\} (\d+)$/gm)
  return [...lines]
    .filter(([, labels]) => labels?.includes(`status_code="${status}"`))
    .reduce((sum, [, , value]) => sum + Number(value), 0)
}

/** Every series of counters and histograms. */
function counters(text: string): Map<string, number> {
  const lasting = new Set(
    [...text.matchAll(/^# TYPE (\S+) (?:counter|histogram)$/gm)].map(([, name]) => name as string)
  )
  const series = new Map<string, number>()
  for (const [, id, name, value] of text.matchAll(/^((\w+)(?:\{.*\})?) ([\d.e+-]+)$/gm)) {
    const family = (name as string).replace(/_(?:bucket|sum|count)$/, '')
    if (lasting.has(family) || lasting.has(name as string)) series.set(id as string, Number(value))
  }
  return series
}

/** A download that stops after its headers until it is read on. */
function begin(serving: Serving): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = http.get(`${serving.url}file.bin`, { agent: false }, (response) => {
      response.pause()
      resolve(response)
    })
    request.on('error', reject)
  })
}

async function rest(response: http.IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of response) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function connects(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

async function isUp(serving: Serving): Promise<boolean> {
  return (await get(`${serving.url}none`).catch(() => undefined))?.status === 404
}

/** The test's own time limit is the end of the patience. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20))
}

function run(args: readonly string[]) {
  const { status, stderr } = spawnSync(process.execPath, [mainFile, ...args], {
    encoding: 'utf8',
    timeout: 20_000
  })
  return { status, stderr }
}

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { dropPages, hasResidentPages } from '../support/kernel-view.ts'
import { PausedClient } from '../support/paused-client.ts'
import {
  get,
  makeOld,
  type Serving,
  serve,
  tempFolder,
  until,
  writePattern
} from '../support/serve.ts'
import { unprivileged } from '../support/unprivileged.ts'

const KiB = 1024
const MiB = 1024 * KiB

const metricsOfTheContract = [
  ['http_request_duration_seconds', 'histogram'],
  ['http_time_to_first_byte_seconds', 'histogram'],
  ['http_response_body_bytes_total', 'counter'],
  ['process_page_faults_total', 'counter'],
  ['event_loop_page_faults_total', 'counter'],
  ['residency_checks_total', 'counter'],
  ['mapped_bytes', 'gauge'],
  ['mapped_regions', 'gauge'],
  ['open_files', 'gauge'],
  ['pinned_bytes', 'gauge'],
  ['range_server_info', 'gauge'],
  ['region_evictions_total', 'counter'],
  ['mapping_failures_total', 'counter'],
  ['body_failures_total', 'counter'],
  ['nodejs_eventloop_lag_p99_seconds', 'gauge'],
  ['process_open_fds', 'gauge']
] as const

describe('metrics', () => {
  it('are all there, each with its type', async (t) => {
    const { opsUrl } = await serveOps(t)
    const { headers, body } = await get(`${opsUrl}/metrics`)
    assert.match(headers['content-type'] ?? '', /^text\/plain; version=0\.0\.4/)
    const text = body.toString()
    for (const [name, type] of metricsOfTheContract) {
      assert.match(text, new RegExp(`^# HELP ${name} .+`, 'm'))
      assert.match(text, new RegExp(`^# TYPE ${name} ${type}$`, 'm'))
    }
    assert.match(
      text,
      /^range_server_info\{version="[\d.]+",mode="mmap",guard="on",mapper="mmap-io"\} 1$/m
    )
  })

  it('come as OpenMetrics where that is asked for, with exemplars by option', async (t) => {
    const { url, opsUrl, root } = await serveOps(t, ['--exemplars', 'on'])
    writePattern(path.join(root, 'f'), 100)
    await get(`${url}f`)
    const accept = 'application/openmetrics-text; version=1.0.0'
    const { headers, body } = await get(`${opsUrl}/metrics`, { headers: { accept } })
    assert.match(headers['content-type'] ?? '', /^application\/openmetrics-text/)
    const text = body.toString()
    assert.ok(text.endsWith('# EOF\n'))
    assert.match(text, /^# TYPE http_response_body_bytes counter$/m)
    assert.match(text, /^http_request_duration_seconds_bucket\{.+\} \d+ # \{.+\} [\d.e-]+/m)
    const plain = (await get(`${opsUrl}/metrics`)).body.toString()
    assert.ok(!plain.includes(' # {'), 'the plain format has none')
  })

  it('count every answer once, by pattern and not by path', async (t) => {
    const { url, origin, opsUrl, root } = await serveOps(t)
    writePattern(path.join(root, 'f'), 10 * KiB)
    writePattern(path.join(root, 'large'), 5 * MiB)
    for (const name of ['f', 'large']) makeOld(path.join(root, name))
    await get(`${url}f`)
    await get(`${url}f`, { headers: { range: 'bytes=0-99' } })
    await get(`${url}f`, { headers: { range: 'bytes=100-199' } })
    await get(`${url}f`, { method: 'HEAD' })
    await get(`${url}f`, { headers: { range: 'bytes=999999-' } })
    await get(`${url}f`, { headers: { 'if-none-match': '*' } })
    await get(`${url}large`)
    for (let i = 0; i < 30; i++) await get(`${url}none-${i}`)
    await get(`${url}f`, { method: 'PUT' })
    await get(`${url}f`, { method: 'PROPFIND' })
    await get(`${url}f`, { method: 'OPTIONS' })
    await get(`${origin}/elsewhere`)
    const { samples, text } = await scrape(opsUrl)
    const count = (method: string, status: number, route = '/files/*') => {
      const labels = [`method="${method}"`, `route="${route}"`, `status_code="${status}"`]
      return sum(samples, 'http_request_duration_seconds_count', ...labels)
    }
    assert.equal(count('GET', 200), 2)
    assert.equal(count('GET', 206), 2)
    assert.equal(count('HEAD', 200), 1)
    assert.equal(count('GET', 416), 1)
    assert.equal(count('GET', 304), 1)
    assert.equal(count('GET', 404), 30)
    assert.equal(count('PUT', 405), 1)
    assert.equal(count('other', 405), 1)
    assert.equal(count('OPTIONS', 204), 1)
    assert.equal(count('GET', 404, 'none'), 1)
    assert.ok(!text.includes('none-1'))
    assert.equal(
      sum(samples, 'http_response_body_bytes_total'),
      10 * KiB + 100 + 100 + 5 * MiB,
      'bytes of files, whatever their source'
    )
    assert.equal(sum(samples, 'open_files'), 2)
    // the small one was not asked for often enough
    assert.equal(sum(samples, 'mapped_regions'), 1)
    assert.equal(
      sum(samples, 'http_time_to_first_byte_seconds_count', 'route="/files/*"'),
      sum(samples, 'http_request_duration_seconds_count', 'route="/files/*"')
    )
  })

  it('tell mapped bytes from read ones, and resident windows from cold ones', async (t) => {
    const { url, opsUrl, root } = await serveOps(t)
    const file = path.join(root, 'f')
    if (!writeCold(t, file, MiB)) return
    await get(`${url}f`, { headers: { range: 'bytes=0-4095' } })
    const cold = await scrape(opsUrl)
    assert.equal(sum(cold.samples, 'http_response_body_bytes_total', 'source="read"'), 4096)
    assert.equal(sum(cold.samples, 'residency_checks_total', 'result="cold"'), 1)
    assert.ok(sum(cold.samples, 'process_block_input_bytes_total') >= 4096)
    assert.equal(sum(cold.samples, 'event_loop_page_faults_total', 'kind="major"'), 0)
    await get(`${url}f`, { headers: { range: 'bytes=0-4095' } })
    const hot = await scrape(opsUrl)
    assert.equal(sum(hot.samples, 'http_response_body_bytes_total', 'source="mapped"'), 4096)
    assert.equal(sum(hot.samples, 'residency_checks_total', 'result="resident"'), 1)
    assert.equal(
      sum(hot.samples, 'http_request_duration_seconds_count', 'source="mapped"'),
      1,
      hot.text
    )
  })

  it('say that of a cold file only what was asked for is read', async (t) => {
    // Readahead marks pages, and the touch of a marked page in a mapping makes the event loop start a read.
    const { url, opsUrl, root } = await serveOps(t)
    if (!writeCold(t, path.join(root, 'f'), 8 * MiB)) return
    await get(`${url}f`, { headers: { range: `bytes=0-${64 * KiB - 1}` } })
    const { body } = await get(`${opsUrl}/residency/f`)
    assert.equal((JSON.parse(body.toString()) as { residentBytes: number }).residentBytes, 64 * KiB)
  })

  it('count clients that went', async (t) => {
    const { url, opsUrl, root } = await serveOps(t)
    fs.writeFileSync(path.join(root, 'f'), '')
    fs.truncateSync(path.join(root, 'f'), 200 * MiB)
    const client = await PausedClient.get(`${url}f`)
    client.leave('reset')
    await until('it is counted', async () => {
      const { samples } = await scrape(opsUrl)
      return sum(samples, 'body_failures_total', 'reason="client_gone"') === 1
    })
  })

  it('are on the main port with --public-ops on alone; health is, without an ops port', async (t) => {
    const root = tempFolder(t)
    const alone = await serve(t, root, ['--public-ops', 'off'])
    assert.equal((await get(`${alone.origin}/metrics`)).status, 404)
    assert.equal((await get(`${alone.origin}/healthz`)).status, 200)
    assert.equal((await get(`${alone.origin}/readyz`)).status, 200)
    const open = await serveOps(t, ['--public-ops', 'on'])
    assert.equal((await get(`${open.origin}/metrics`)).status, 200)
    for (const route of ['/healthz', '/readyz', '/residency/f']) {
      assert.equal((await get(open.origin + route)).status, 404)
    }
    const { origin, opsUrl } = await serveOps(t, ['--public-ops', 'off'])
    for (const route of ['/metrics', '/healthz', '/readyz', '/residency/f']) {
      assert.equal((await get(origin + route)).status, 404)
    }
    for (const route of ['/metrics', '/healthz', '/readyz']) {
      assert.equal((await get(opsUrl + route)).status, 200)
    }
  })
})

describe('readiness', () => {
  it('ends when the root is gone, and life does not', async (t) => {
    const { opsUrl, root } = await serveOps(t)
    assert.equal((await get(`${opsUrl}/readyz`)).status, 200)
    fs.renameSync(root, `${root}-away`)
    t.after(() => fs.rmSync(`${root}-away`, { recursive: true }))
    const { status, body } = await get(`${opsUrl}/readyz`)
    assert.equal(status, 503)
    assert.match(body.toString(), /the root is gone/)
    assert.ok(!body.includes(root))
    assert.equal((await get(`${opsUrl}/healthz`)).status, 200)
  })

  it('ends first of all when the process drains', async (t) => {
    const { url, opsUrl, root, child, exited } = await serveOps(t, ['--shutdown-timeout', '60m'])
    fs.writeFileSync(path.join(root, 'f'), '')
    fs.truncateSync(path.join(root, 'f'), 200 * MiB)
    const client = await PausedClient.get(`${url}f`)
    child.kill('SIGTERM')
    await until('it says that it drains', async () => {
      const { status, body } = await get(`${opsUrl}/readyz`)
      return status === 503 && body.includes('draining')
    })
    assert.equal((await get(`${opsUrl}/healthz`)).status, 200)
    assert.equal((await client.rest()).isComplete, true)
    assert.equal((await exited).code, 0)
  })

  it('waits until what was named is in memory', async (t) => {
    const root = tempFolder(t)
    fs.mkdirSync(path.join(root, 'maps'))
    for (const name of ['maps/a.pmtiles', 'maps/b.pmtiles', 'other']) {
      const file = path.join(root, name)
      if (!writeCold(t, file, 2 * MiB)) return
    }
    const warm = ['--warm', 'maps/*.pmtiles:0-1048575', '--warm-rate', '1MiB']
    const { opsUrl, log } = await serve(t, root, ['--ops-port', '0', ...warm])
    const before = await get(`${opsUrl}/readyz`)
    assert.equal(before.status, 503)
    assert.match(before.body.toString(), /warming: (looking|\d of [12] MiB are in memory)/)
    await until('it is ready', async () => (await get(`${opsUrl}/readyz`)).status === 200)
    await until('it is told', () =>
      log.some((line) => line.msg === 'warm' && line.bytes === 2 * MiB)
    )
    const residentBytes = async (name: string) => {
      const { body } = await get(`${opsUrl}/residency/${name}`)
      return (JSON.parse(body.toString()) as { residentBytes: number }).residentBytes
    }
    assert.ok((await residentBytes('maps/a.pmtiles')) >= MiB)
    assert.equal(await residentBytes('other'), 0)
  })
})

describe('residency', () => {
  it('agrees with what another program sees', async (t) => {
    const { opsUrl, root } = await serveOps(t)
    const file = path.join(root, 'f')
    if (!writeCold(t, file, 4 * MiB)) return
    // half of it, without readahead beyond
    execFileSync('dd', [`if=${file}`, 'of=/dev/null', 'bs=1M', 'count=1', 'skip=2', 'status=none'])
    const { body } = await get(`${opsUrl}/residency/f?cells=4`)
    const map = JSON.parse(body.toString()) as {
      path: string
      size: number
      pageSize: number
      trusted: boolean
      residentBytes: number
      cells: number[]
    }
    assert.deepEqual([map.path, map.size, map.trusted], ['f', 4 * MiB, true])
    assert.equal(map.pageSize, Number(execFileSync('getconf', ['PAGESIZE'])))
    assert.equal(map.cells.length, 4)
    assert.equal(map.cells[2], 1)
    assert.equal(map.cells[0], 0)
    const sumOfCells = map.cells.reduce((bytes, share) => bytes + share * MiB, 0)
    assert.equal(map.residentBytes, sumOfCells)
    const part = await get(`${opsUrl}/residency/f?offset=${2 * MiB}&length=${MiB}&cells=1`)
    const { residentBytes, cells } = JSON.parse(part.body.toString()) as typeof map
    assert.deepEqual([residentBytes, cells], [MiB, [1]])
  })

  it('is answered for a file of 6 GiB', async (t) => {
    const { opsUrl, root } = await serveOps(t)
    const file = path.join(root, 'f')
    fs.writeFileSync(file, '')
    fs.truncateSync(file, 6 * 2 ** 30)
    const { status, body } = await get(`${opsUrl}/residency/f?offset=${5 * 2 ** 30}&cells=10`)
    assert.equal(status, 200)
    const map = JSON.parse(body.toString()) as { size: number; residentBytes: number }
    assert.deepEqual([map.size, map.residentBytes], [6 * 2 ** 30, 0])
  })

  it('is not claimed where the kernel cannot be believed', async (t) => {
    const user = unprivileged(t)
    if (user === undefined) return
    const root = tempFolder(t)
    fs.chmodSync(root, 0o755)
    writePattern(path.join(root, 'f'), MiB)
    const { opsUrl } = await serve(t, root, ['--ops-port', '0'], user)
    const { body } = await get(`${opsUrl}/residency/f`)
    const map = JSON.parse(body.toString()) as { trusted: boolean; residentBytes: null }
    assert.deepEqual([map.trusted, map.residentBytes], [false, null])
  })

  it('refuses what makes no sense, and says what would', async (t) => {
    const { opsUrl, root } = await serveOps(t)
    writePattern(path.join(root, 'f'), 1000)
    for (const query of ['cells=0', 'cells=x', 'offset=1001', 'offset=-1', 'length=1.5']) {
      const { status, body } = await get(`${opsUrl}/residency/f?${query}`)
      assert.equal(status, 400, query)
      assert.match(body.toString(), /it may be a whole number from/)
    }
    for (const name of ['none', '..%2f..%2fetc%2fpasswd', '../f', '']) {
      assert.equal((await get(`${opsUrl}/residency/${name}`)).status, 404, name)
    }
  })
})

describe('warming', () => {
  it('brings into memory what was asked for', async (t) => {
    const { opsUrl, root } = await serveOps(t)
    const file = path.join(root, 'f')
    if (!writeCold(t, file, 8 * MiB)) return
    const part = await post(`${opsUrl}/warm/f`, { ranges: [[0, MiB - 1]] })
    assert.equal(part.status, 200)
    assert.deepEqual([part.json.path, part.json.bytes], ['f', MiB])
    assert.equal(typeof part.json.milliseconds, 'number')
    const { body } = await get(`${opsUrl}/residency/f?cells=8`)
    assert.equal((JSON.parse(body.toString()) as { cells: number[] }).cells[0], 1)
    const whole = await post(`${opsUrl}/warm/f`)
    assert.equal(whole.json.bytes, 8 * MiB)
    const after = await get(`${opsUrl}/residency/f?cells=1`)
    assert.deepEqual((JSON.parse(after.body.toString()) as { cells: number[] }).cells, [1])
  })

  it('refuses what makes no sense, and says what would', async (t) => {
    const { opsUrl, root } = await serveOps(t)
    writePattern(path.join(root, 'f'), 1000)
    for (const ranges of [5, [5], [[5]], [[9, 1]], [[-1, 5]], [['0', '5']], [[0.5, 1]]]) {
      const { status, json } = await post(`${opsUrl}/warm/f`, { ranges })
      assert.equal(status, 400, JSON.stringify(ranges))
      assert.match(String(json.message), /pairs \[first, last\]/)
    }
    assert.equal((await post(`${opsUrl}/warm/none`)).status, 404)
    assert.equal((await post(`${opsUrl}/warm/f`, { ranges: [[5000, 6000]] })).json.bytes, 0)
  })

  it('ends when its client goes', async (t) => {
    const { opsUrl, root, pid } = await serveOps(t)
    fs.writeFileSync(path.join(root, 'f'), '')
    fs.truncateSync(path.join(root, 'f'), 200 * 2 ** 30)
    const abort = new AbortController()
    const request = fetch(`${opsUrl}/warm/f`, { method: 'POST', signal: abort.signal })
    const readBytes = () => {
      return Number(/rchar: (\d+)/.exec(fs.readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1])
    }
    await until('it reads', () => readBytes() > 32 * MiB)
    abort.abort()
    await assert.rejects(request)
    let last = -1
    await until('it reads no more', async () => {
      const now = readBytes()
      const isStill = now - last < 64 * KiB
      last = now
      await new Promise((resolve) => setTimeout(resolve, 50))
      return isStill
    })
  })
})

describe('what a request cost', () => {
  it('is in Server-Timing for pages of the allowed origins, and for no others', async (t) => {
    for (const [origins, allowed] of [
      ['*', '*'],
      ['https://a.example', 'https://a.example'],
      ['https://a.example,https://b.example', 'https://a.example, https://b.example'],
      ['off', undefined]
    ] as const) {
      const { url, root } = await serveOps(t, ['--cors-origin', origins, '--server-timing', 'on'])
      fs.writeFileSync(path.join(root, 'f'), 'abc')
      const { headers } = await get(`${url}f`)
      assert.equal(headers['timing-allow-origin'], allowed)
      const exposed = String(headers['access-control-expose-headers'])
      assert.equal(exposed.endsWith(', Server-Timing'), allowed !== undefined)
    }
  })

  it('is in Server-Timing, by option', async (t) => {
    const { url, root } = await serveOps(t, ['--server-timing', 'on'])
    const file = path.join(root, 'f')
    if (!writeCold(t, file, MiB)) return
    const timing = async () => {
      const { headers } = await get(`${url}f`, { headers: { range: 'bytes=0-4095' } })
      return String(headers['server-timing'])
    }
    assert.match(
      await timing(),
      /^src;desc="read", win;desc="resident=0, cold=1", flt;desc="minor=\d+, major=0", open;dur=\d+\.\d{3}, ttfb;dur=\d+\.\d{3}$/
    )
    assert.match(await timing(), /^src;desc="mapped", win;desc="resident=1, cold=0", flt;/)
    const without = await serveOps(t)
    writePattern(path.join(without.root, 'f'), 10)
    const { headers } = await get(`${without.url}f`)
    assert.equal(headers['server-timing'], undefined)
    assert.equal(headers['timing-allow-origin'], undefined)
  })

  it('is in the access log, of cut answers too', async (t) => {
    const { url, root, log } = await serveOps(t)
    writePattern(path.join(root, 'f'), MiB)
    // a file that was written a moment ago is copied
    fs.utimesSync(path.join(root, 'f'), 1_700_000_000, 1_700_000_000)
    fs.writeFileSync(path.join(root, 'large'), '')
    fs.truncateSync(path.join(root, 'large'), 200 * MiB)
    // what is asked for again is mapped
    await get(`${url}f`)
    await get(`${url}f?x`, { headers: { range: 'bytes=5-99' } })
    const line = await access(log, (record) => record.path === '/files/f?x')
    const { reqId, minorFaults, ms } = line
    assert.deepEqual(
      [line.method, line.status, line.range, line.bytes, line.source, line.outcome],
      ['GET', 206, 'bytes=5-99', 95, 'mapped', 'complete']
    )
    assert.deepEqual([line.residentWindows, line.coldWindows, line.majorFaults], [1, 0, 0])
    assert.ok(reqId !== undefined && Number(minorFaults) >= 0 && Number(ms) > 0)
    const client = await PausedClient.get(`${url}large`)
    client.leave('reset')
    const cut = await access(log, (record) => record.path === '/files/large')
    assert.equal(cut.outcome, 'client_gone')
    await get(`${url}none`)
    const missing = await access(log, (record) => record.path === '/files/none')
    assert.deepEqual([missing.status, missing.bytes], [404, 0])
  })

  it('is told of stalls of the event loop', async (t) => {
    const { url, root, log, child } = await serveOps(t, ['--stall-threshold', '200ms'])
    fs.writeFileSync(path.join(root, 'large'), '')
    fs.truncateSync(path.join(root, 'large'), 200 * MiB)
    const client = await PausedClient.get(`${url}large`, { range: 'bytes=0-199999999' })
    await until('a stopped process is a stall', async () => {
      child.kill('SIGSTOP')
      await new Promise((resolve) => setTimeout(resolve, 400))
      child.kill('SIGCONT')
      await new Promise((resolve) => setTimeout(resolve, 100))
      return log.some(({ msg }) => msg === 'the event loop stalled')
    })
    const stall = log.find(({ msg }) => msg === 'the event loop stalled')
    assert.equal(stall?.level, 40)
    assert.ok(Number(stall?.stalledMs) >= 200)
    assert.deepEqual(stall?.writing, ['large bytes=0-199999999'])
    client.leave('reset')
  })
})

interface ServingOps extends Serving {
  readonly root: string
  readonly opsUrl: string
}

async function serveOps(t: TestContext, args: readonly string[] = []): Promise<ServingOps> {
  const root = tempFolder(t)
  const server = await serve(t, root, ['--ops-port', '0', ...args])
  assert.ok(server.opsUrl)
  return { ...server, root, opsUrl: server.opsUrl }
}

/** A file none of whose pages is in memory. @returns whether there can be one; the test is skipped if not */
function writeCold(t: TestContext, file: string, sizeBytes: number): boolean {
  writePattern(file, sizeBytes)
  // what was written a moment ago is read twice, and sent as a copy
  makeOld(file)
  dropPages(file)
  if (!hasResidentPages(file)) return true
  t.skip('this file system keeps its pages')
  return false
}

interface Sample {
  readonly name: string
  readonly labels: string
  readonly value: number
}

async function scrape(opsUrl: string): Promise<{ samples: readonly Sample[]; text: string }> {
  const text = (await get(`${opsUrl}/metrics`)).body.toString()
  const samples = [...text.matchAll(/^([a-z_]+)(?:\{(.*)\})? (\S+)$/gm)].map(
    ([, name = '', labels = '', value]) => ({ name, labels, value: Number(value) })
  )
  return { samples, text }
}

/** Of all samples of that name that carry these labels. */
function sum(samples: readonly Sample[], name: string, ...labels: readonly string[]): number {
  return samples
    .filter((sample) => sample.name === name && labels.every((l) => sample.labels.includes(l)))
    .reduce((total, { value }) => total + value, 0)
}

async function post(
  url: string,
  body?: unknown
): Promise<{ status: number; json: Record<string, unknown> }> {
  const json = { 'content-type': 'application/json' }
  const answer = await get(url, {
    method: 'POST',
    ...(body === undefined ? {} : { headers: json, body: JSON.stringify(body) })
  })
  return { status: answer.status, json: JSON.parse(answer.body.toString()) }
}

async function access(
  log: readonly Record<string, unknown>[],
  isIt: (record: Record<string, unknown>) => boolean
): Promise<Record<string, unknown>> {
  let found: Record<string, unknown> | undefined
  await until('it is logged', () => {
    found = log.find((record) => record.msg === 'access' && isIt(record))
    return found !== undefined
  })
  assert.ok(found)
  return found
}

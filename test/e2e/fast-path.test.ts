/** What holds for connections holds on the fast path too: limits, order, drain, metrics, log. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { it, type TestContext } from 'node:test'
import { dropPages } from '../support/kernel-view.ts'
import { metric } from '../support/metrics.ts'
import {
  get,
  patternBytes,
  type Serving,
  serve,
  tempFolder,
  until,
  writePattern
} from '../support/serve.ts'

const KiB = 1024
const MiB = 1024 * KiB

async function serveFiles(t: TestContext, args: readonly string[] = []) {
  const root = tempFolder(t)
  writePattern(join(root, 'f'), 64 * KiB)
  const server = await serve(t, root, args)
  await get(`${server.url}f`)
  return { root, server }
}

/** A connection, and all that came on it. */
class Client {
  readonly socket: net.Socket
  #chunks: Buffer[] = []

  constructor(t: TestContext, { port }: Serving) {
    this.socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    this.socket.on('error', () => {})
    this.socket.on('data', (chunk: Buffer) => this.#chunks.push(chunk))
    t.after(() => this.socket.destroy())
  }

  get bytes(): Buffer {
    const bytes = Buffer.concat(this.#chunks)
    this.#chunks = [bytes]
    return bytes
  }

  ask(name: string, ...fields: string[]): void {
    this.socket.write(
      `GET /files/${name} HTTP/1.1\r\n${['Host: x', ...fields].join('\r\n')}\r\n\r\n`
    )
  }

  async has(what: string | number): Promise<void> {
    const isThere = () =>
      typeof what === 'number' ? this.bytes.length >= what : this.bytes.includes(what)
    await until(`${what} comes`, isThere, 20_000)
  }

  get isClosed(): boolean {
    return this.socket.destroyed
  }
}

const handovers = (server: Serving, reason: string) =>
  metric(server.origin, `fast_path_handovers_total{reason="${reason}"}`)
const answered = (server: Serving) => metric(server.origin, 'fast_path_requests_total')

it('1,000 pipelined requests are answered in order, and none is handed over', async (t) => {
  const { server } = await serveFiles(t)
  const before = await answered(server)
  const client = new Client(t, server)
  const request = (n: number) =>
    `GET /files/f HTTP/1.1\r\nHost: x\r\nRange: bytes=${n}-${n + 2000}\r\n\r\n`
  client.socket.write(Array.from({ length: 1000 }, (_, n) => request(n)).join(''))
  await client.has('content-range: bytes 999-2999/65536')
  await until('the last byte', () => client.bytes.subarray(-2001).equals(patternBytes(999, 3000)))
  let at = 0
  for (let n = 0; n < 1000; n++) {
    const body = client.bytes.indexOf('\r\n\r\n', at) + 4
    const head = client.bytes.toString('latin1', at, body)
    assert.match(head, new RegExp(`^content-range: bytes ${n}-${n + 2000}/`, 'm'))
    at = body + 2001
    assert.ok(client.bytes.subarray(body, at).equals(patternBytes(n, n + 2001)), `${n}`)
  }
  assert.equal(at, client.bytes.length)
  assert.equal((await answered(server)) - before, 1000)
})

it('a cold file does not lose its place to hot ones behind it', async (t) => {
  const { root, server } = await serveFiles(t)
  writePattern(join(root, 'cold'), MiB)
  dropPages(join(root, 'cold'))
  const client = new Client(t, server)
  const before = await answered(server)
  client.socket.write(
    ['cold', 'f', 'f', 'cold', 'f']
      .map((name) => `GET /files/${name} HTTP/1.1\r\nHost: x\r\n\r\n`)
      .join('')
  )
  const bodyBytes = 2 * MiB + 3 * 64 * KiB
  await client.has(bodyBytes + 5 * 100)
  const lengths = [...client.bytes.toString('latin1').matchAll(/^content-length: (\d+)/gm)]
  assert.deepEqual(
    lengths.map(([, length]) => Number(length)),
    [MiB, 64 * KiB, 64 * KiB, MiB, 64 * KiB]
  )
  assert.equal((await answered(server)) - before, 5)
})

it('heads in pieces go to node:http at once, which reads and times them as before', async (t) => {
  const { server } = await serveFiles(t)
  const before = await handovers(server, 'incomplete')
  const client = new Client(t, server)
  for (const character of 'GET /files/f HTTP/1.1\r\nHost: x\r\nRange: bytes=5-9\r\n\r\n') {
    client.socket.write(character)
    await new Promise((resolve) => setImmediate(resolve))
  }
  await client.has('content-range: bytes 5-9/65536')
  assert.equal((await handovers(server, 'incomplete')) - before, 1)
})

it('silent connections, and heads without an end, are told 408', { timeout: 40_000 }, async (t) => {
  const { server } = await serveFiles(t)
  const silent = new Client(t, server)
  const half = new Client(t, server)
  half.socket.write('GET /files/f HTTP/1.1\r\nHos')
  await until('both are closed', () => silent.isClosed && half.isClosed, 30_000)
  for (const { bytes } of [silent, half]) assert.match(bytes.toString(), /^HTTP\/1\.1 408 /)
})

it('connections beyond the limit are shed', async (t) => {
  const { server } = await serveFiles(t, ['--max-connections', '2'])
  const clients: Client[] = []
  for (let n = 0; n < 3; n++) {
    const client = new Client(t, server)
    await once(client.socket, 'connect')
    clients.push(client)
  }
  for (const client of clients) client.ask('f', 'Range: bytes=0-0')
  await until('all are answered', () => clients.every(({ bytes }) => bytes.length > 0))
  const statuses = clients.map(({ bytes }) => bytes.toString('latin1', 9, 12))
  assert.deepEqual(statuses, ['206', '206', '503'])
  await until('the third is closed', () => clients[2]?.isClosed === true)
  for (const { socket } of clients) socket.destroy()
  await until('there is room', async () => (await handovers(server, 'limit')) === 1)
})

it('files that are not there are told of without leaving the fast path, in the same bytes', async (t) => {
  const { root, server } = await serveFiles(t)
  const off = await serve(t, root, ['--fast-path', 'off'])
  const origin = 'Origin: http://other.example'
  const answers = await Promise.all(
    [server, off].map(async (service) => {
      const client = new Client(t, service)
      for (const name of ['missing', 'missing', 'f/below', 'gone']) client.ask(name, origin)
      client.socket.write('HEAD /files/missing HTTP/1.1\r\nHost: x\r\n\r\n')
      client.ask('f', 'Range: bytes=0-99')
      await client.has('content-range: bytes 0-99/65536')
      return client.bytes.toString('latin1').replace(/^date: .*$/gim, '')
    })
  )
  assert.equal(answers[0]?.match(/ 404 Not Found/g)?.length, 5)
  assert.equal(answers[0]?.toLowerCase(), answers[1]?.toLowerCase())
  assert.equal(await handovers(server, 'error'), 0)
  // and what comes later is found
  writePattern(join(root, 'gone'), 100)
  const client = new Client(t, server)
  client.ask('gone')
  await client.has('content-length: 100')
})

it('draining closes what is idle, lets an answer end, and takes no request behind it', async (t) => {
  const { root, server } = await serveFiles(t)
  fs.writeFileSync(join(root, 'large'), '')
  fs.truncateSync(join(root, 'large'), 64 * MiB)
  const idle = new Client(t, server)
  idle.ask('f')
  await idle.has(64 * KiB)
  const busy = new Client(t, server)
  busy.ask('large')
  await busy.has('content-length: ')
  busy.socket.pause()
  server.child.kill('SIGTERM')
  await until('the idle one is closed', () => idle.isClosed)
  busy.ask('f')
  busy.socket.resume()
  await until('the busy one is closed', () => busy.isClosed, 30_000)
  const { bytes } = busy
  const end = bytes.indexOf('\r\n\r\n') + 4 + 64 * MiB
  assert.ok(bytes.length >= end, 'the long answer is whole')
  const rest = bytes.toString('latin1', end)
  assert.ok(rest === '' || rest.startsWith('HTTP/1.1 503 '), rest.slice(0, 100))
  assert.deepEqual(await server.exited, { code: 0, signal: null })
})

it('a client that goes in the middle is counted, and leaves nothing', async (t) => {
  const { root, server } = await serveFiles(t)
  fs.writeFileSync(join(root, 'large'), '')
  fs.truncateSync(join(root, 'large'), 64 * MiB)
  const client = new Client(t, server)
  client.ask('large')
  await client.has('content-length: ')
  client.socket.resetAndDestroy()
  const gone = 'body_failures_total{reason="client_gone"}'
  await until('it is counted', async () => (await metric(server.origin, gone)) === 1)
  assert.equal((await get(`${server.url}f`)).status, 200)
})

it('metrics, access log, Server-Timing and origins are those of other requests', async (t) => {
  const { server } = await serveFiles(t, [
    '--server-timing',
    'on',
    '--cors-origin',
    'https://a.example,https://b.example'
  ])
  const count =
    'http_request_duration_seconds_count{method="GET",route="/files/*",status_code="206",source="read"}'
  const client = new Client(t, server)
  for (let n = 1; n <= 3; n++) {
    client.ask('f?x', `Range: bytes=${n}-9`, 'Origin: https://b.example')
    await client.has(`content-range: bytes ${n}-9/65536`)
  }
  const head = client.bytes.toString('latin1')
  assert.match(head, /^server-timing: .+$/m)
  assert.match(head, /^vary: Origin\r$/m)
  assert.match(head, /^access-control-allow-origin: https:\/\/b\.example\r$/m)
  client.ask('f', 'Range: bytes=99999-')
  await client.has('HTTP/1.1 416 ')
  assert.equal(await metric(server.origin, count), 3)
  const lines = server.log.filter(({ msg, path }) => msg === 'access' && path === '/files/f?x')
  assert.equal(lines.length, 3)
  const { method, status, range, bytes, source, outcome } = lines[0] as Record<string, unknown>
  assert.deepEqual(
    { method, status, range, bytes, source, outcome },
    {
      method: 'GET',
      status: 206,
      range: 'bytes=1-9',
      bytes: 9,
      source: 'read',
      outcome: 'complete'
    }
  )
  assert.ok(server.log.some(({ msg, status }) => msg === 'access' && status === 416))
})

it('files below / do not hide the routes of operators', async (t) => {
  const root = tempFolder(t)
  fs.writeFileSync(join(root, 'healthz'), 'a file')
  fs.writeFileSync(join(root, 'f'), 'a file')
  for (const fastPath of ['on', 'off']) {
    const { origin } = await serve(t, root, ['--prefix', '/', '--fast-path', fastPath])
    for (const path of ['/healthz', '/%68ealthz', '/healthz?x']) {
      assert.equal((await get(origin + path)).body.toString(), '{"status":"ok"}', path)
    }
    assert.equal((await get(`${origin}/f`)).body.toString(), 'a file')
  }
})

for (const fastPath of ['on', 'off']) {
  it(`requests behind node:http's own last answer do not end the process, fast path ${fastPath}`, async (t) => {
    const { server } = await serveFiles(t, ['--fast-path', fastPath])
    const get = (name: string) => `GET /files/${name} HTTP/1.1\r\nHost: x\r\n\r\n`
    const first = `${get('none')}GET /files/f HTTP/1.1\r\n\r\n${get('none')}`
    for (let n = 0; n < 150; n++) {
      const { socket } = new Client(t, server)
      socket.write(first)
      // when the answer without Host has just been given, and the connection is not closed yet
      const timer = setInterval(() => socket.write(get('f')), 0)
      await new Promise((resolve) => socket.once('close', resolve))
      clearInterval(timer)
    }
    assert.equal(server.child.exitCode, null)
  })
}

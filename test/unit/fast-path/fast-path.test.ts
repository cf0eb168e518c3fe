/** Connections below node:http: their limits, and what is left of them after they are handed over. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo, type Socket } from 'node:net'
import { it, type TestContext } from 'node:test'
import type { Delivered, Delivery } from '#src/delivery/deliver.ts'
import { readDirectly } from '#src/fast-path/direct-reads.ts'
import { FastPath, type FastPathOptions } from '#src/fast-path/fast-path.ts'
import type { Catalog } from '#src/storage/catalog.ts'
import { until } from '../../support/serve.ts'

type Deliver = (...args: Parameters<Delivery['deliver']>) => Promise<Delivered>

/** An answer without a body. */
const answer: Deliver = async ({ sink }) => {
  sink.begin(200, { fields: [], text: '' }, ['content-length', '0'])
  sink.end()
  return 'done'
}

interface Serving {
  readonly fastPath: FastPath
  readonly server: http.Server
  readonly handovers: Map<string, number>
  /** of the service */
  readonly sockets: Socket[]
  connect(): Promise<net.Socket>
}

/** The fast path alone, over files that are only thought of; node:http answers 404. */
async function serve(
  t: TestContext,
  { deliver = answer, ...options }: { deliver?: Deliver } & Partial<FastPathOptions> = {}
): Promise<Serving> {
  const server = http.createServer((_request, response) => response.writeHead(404).end())
  const handovers = new Map<string, number>()
  const fastPath = new FastPath(server, {
    prefix: '/files/',
    dotfiles: 'deny',
    // these are all that is asked of them here
    catalog: { tryOpen: () => undefined } as unknown as Catalog,
    delivery: { deliver } as unknown as Delivery,
    route: '/files/*',
    corsOf: () => [],
    corsAlways: [],
    conclude: () => {},
    refuse: () => undefined,
    meet: () => {},
    logsAccess: false,
    idleTimeoutMs: 60_000,
    counters: { requests: 0, handovers },
    limits: { keepAliveTimeoutMs: 60_000, headersTimeoutMs: 60_000, checkIntervalMs: 10 },
    isShedding: () => false,
    ...options
  })
  const sockets: Socket[] = []
  server.on('connection', (socket) => sockets.push(socket))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.after(() => {
    fastPath.close()
    server.closeAllConnections()
    server.close()
  })
  const connect = async () => {
    const socket = net.connect((server.address() as AddressInfo).port, '127.0.0.1')
    t.after(() => socket.destroy())
    await once(socket, 'connect')
    return socket
  }
  return { fastPath, server, handovers, sockets, connect }
}

const get = 'GET /files/f HTTP/1.1\r\nHost: x\r\n\r\n'

it('a connection without a request is given up as node:http does it', async (t) => {
  const limits = { keepAliveTimeoutMs: 60_000, headersTimeoutMs: 50, checkIntervalMs: 10 }
  const { server, connect, fastPath } = await serve(t, { limits })
  const given = once(server, 'clientError')
  await connect()
  const [error, socket] = (await given) as [Error & { code: string }, Socket]
  assert.equal(error.code, 'ERR_HTTP_REQUEST_TIMEOUT')
  socket.destroy()
  await until('it is forgotten', () => fastPath.size === 0)
})

it('a connection is closed when nothing was asked for so long, but not while it is answered', async (t) => {
  let finish = () => {}
  const deliver: Deliver = async (request, path) => {
    if (path === 'slow') await new Promise<void>((resolve) => (finish = resolve))
    return answer(request, path)
  }
  const limits = { keepAliveTimeoutMs: 100, headersTimeoutMs: 60_000, checkIntervalMs: 10 }
  const { connect } = await serve(t, { deliver, limits })
  const socket = await connect()
  let isClosed = false
  socket.once('close', () => (isClosed = true))
  socket.write('GET /files/slow HTTP/1.1\r\nHost: x\r\n\r\n')
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.equal(isClosed, false)
  const startedAtMs = performance.now()
  finish()
  await once(socket, 'data')
  await once(socket.resume(), 'close')
  const closedAfterMs = performance.now() - startedAtMs
  assert.ok(closedAfterMs > 90 && closedAfterMs < 5000, `${closedAfterMs} ms`)
})

it('a connection of a server can be read without its stream, on this Node', async (t) => {
  const server = net.createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const client = net.connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.after(() => {
    client.destroy()
    server.close()
  })
  const [socket] = (await once(server, 'connection')) as [Socket]
  const taken = new Promise((resolve) => {
    assert.ok(readDirectly(socket, (bytes) => resolve(bytes.toString())))
  })
  client.end('bytes')
  assert.equal(await taken, 'bytes')
  await once(socket, 'end')
  socket.destroy()
})

it('what comes after a handover reaches whoever reads the socket', async (t) => {
  const { connect, sockets, fastPath } = await serve(t)
  const socket = await connect()
  socket.write('GET /other HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(socket, 'data')
  await until('node:http has it', () => fastPath.size === 0)
  // a listener of its own makes node:http read by way of the stream
  const chunks: Buffer[] = []
  sockets.at(-1)?.on('data', (chunk: Buffer) => chunks.push(chunk))
  const [first, second] = ['GET /other HTTP/1.1\r\nHo', 'st: y\r\n\r\n']
  socket.write(first)
  await until('it is read', () => chunks.length > 0)
  socket.write(second)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  assert.match(answer.toString(), /^HTTP\/1.1 404/)
  assert.equal(Buffer.concat(chunks).toString(), first + second)
})

it('a connection that is handed over has no listeners of ours, whenever that was', async (t) => {
  const { connect, sockets, fastPath, handovers } = await serve(t, {
    deliver: async (request, path) => {
      // as storage does for what may have to wait
      request.sink.signal.throwIfAborted()
      if (path === 'broken') throw new Error('not one of storage')
      return answer(request, path)
    }
  })
  const listeners = async (bytes: string) => {
    const socket = await connect()
    socket.write(bytes)
    await once(socket, 'data')
    await until('node:http has it', () => fastPath.size === 0)
    const own = sockets.at(-1) as Socket
    return Object.fromEntries(
      ['close', 'data', 'end', 'error', 'timeout', 'drain'].map((event) => [
        event,
        own.listenerCount(event)
      ])
    )
  }
  const atOnce = await listeners('GET /other HTTP/1.1\r\nHost: x\r\n\r\n')
  assert.deepEqual(await listeners(`${get}GET /other HTTP/1.1\r\nHost: x\r\n\r\n`), atOnce)
  const broken = 'GET /files/broken HTTP/1.1\r\nHost: x\r\n\r\n'
  assert.deepEqual(await listeners(broken), atOnce)
  assert.deepEqual(Object.fromEntries(handovers), { path: 2, error: 1 })
  // the same as on a server that never had a fast path
  const plain = http.createServer((_request, response) => response.writeHead(404).end())
  let own: Socket | undefined
  plain.on('connection', (socket) => (own = socket))
  await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve))
  const client = net.connect((plain.address() as AddressInfo).port, '127.0.0.1')
  t.after(() => {
    client.destroy()
    plain.close()
  })
  client.write('GET /other HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(client, 'data')
  for (const [event, count] of Object.entries(atOnce)) {
    assert.equal(own?.listenerCount(event), count, event)
  }
})

it('a client that asks and never reads is not read on', async (t) => {
  const { connect, sockets, handovers } = await serve(t)
  const socket = await connect()
  socket.pause()
  const many = get.repeat(1000)
  let sent = 0
  let answers = 0
  const isRead = () => sockets[0]?.bytesRead === sent * many.length
  // each after the one before was read, so that no head is cut; until the kernel takes no more answers
  while (sockets[0]?.writableNeedDrain !== true) {
    assert.ok(sent < 400, 'the kernel takes everything')
    socket.write(many)
    sent++
    await until('it is read', isRead)
  }
  const [own] = sockets as [Socket]
  for (let n = 0; n < 10; n++) {
    socket.write(many)
    sent++
  }
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.ok(own.writableLength < 100_000, `${own.writableLength} bytes wait`)
  assert.ok(!isRead(), 'it is not read on')
  // and all of it is answered when it reads
  let rest = ''
  socket.on('data', (chunk) => {
    const lines = (rest + chunk.toString('latin1')).split('HTTP/1.1 ')
    rest = lines.pop() ?? ''
    answers += lines.length
  })
  socket.resume()
  await until('all are answered', () => answers >= sent * 1000)
  assert.equal(handovers.get('path'), undefined)
})

it('a client that ends its side while an error is being found out gets an end', async (t) => {
  const { connect, fastPath } = await serve(t, {
    deliver: async () => {
      await new Promise((resolve) => setTimeout(resolve, 50))
      throw new Error('none of its business')
    }
  })
  const socket = await connect()
  socket.end(get)
  await once(socket.resume(), 'close')
  await until('it is forgotten', () => fastPath.size === 0)
})

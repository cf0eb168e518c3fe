import assert from 'node:assert/strict'
import fs from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { descriptors, mappedBytes, memory } from '../support/kernel-view.ts'
import { PausedClient } from '../support/paused-client.ts'
import { get, type Serving, serve, tempFolder, until } from '../support/serve.ts'

const MiB = 2 ** 20

for (const mode of ['mmap', 'read'] as const) {
  describe(`clients that go away, ${mode}`, () => {
    it('in the middle of large bodies leave nothing behind', async (t) => {
      const { server, path } = await serveSparse(t, 64 * MiB, ['--mode', mode])
      for (let round = 0; round < 4; round++) {
        const clients = await Promise.all(
          Array.from({ length: 12 }, () => PausedClient.get(`${server.url}sparse`))
        )
        await Promise.all(clients.map((client, index) => client.readTo(index * 300_000)))
        for (const [index, client] of clients.entries()) client.leave(index % 2 ? 'reset' : 'end')
      }
      await assertNothingLeft(server, path)
    })

    it('in the middle of pipelined requests leave nothing behind', async (t) => {
      const { server, path } = await serveSparse(t, 64 * MiB, ['--mode', mode])
      const ranges = ['', 'Range: bytes=0-99\r\n', 'Range: bytes=100-40000000\r\n', '']
      const request = ranges
        .map((range) => `GET /files/sparse HTTP/1.1\r\nHost: x\r\n${range}\r\n`)
        .join('')
      for (let round = 0; round < 12; round++) {
        const socket = await connected(server)
        socket.write(request.repeat(3))
        await new Promise((resolve) => socket.once('data', resolve))
        if (round % 2) socket.resetAndDestroy()
        else socket.destroy()
      }
      await assertNothingLeft(server, path)
    })

    it('before a small answer is there leave nothing behind', async (t) => {
      const { server, path } = await serveSparse(t, MiB, ['--mode', mode])
      for (let round = 0; round < 40; round++) {
        const sockets = await Promise.all(Array.from({ length: 10 }, () => connected(server)))
        for (const [index, socket] of sockets.entries()) {
          socket.write('GET /files/sparse HTTP/1.1\r\nHost: x\r\nRange: bytes=5-70000\r\n\r\n')
          if (index % 2) setImmediate(() => socket.resetAndDestroy())
          else socket.resetAndDestroy()
        }
        await Promise.all(
          sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve)))
        )
      }
      await assertNothingLeft(server, path)
    })
  })

  describe(`clients that stand still, ${mode}`, () => {
    it('cost a window each, however large the file is', async (t) => {
      const { server } = await serveSparse(t, 10 * 2 ** 30, ['--mode', mode])
      await get(`${server.url}sparse`, { headers: { range: 'bytes=0-999999' } })
      const before = memory('RssAnon', server.pid)
      const clients = await Promise.all(
        Array.from({ length: 6 }, () => PausedClient.get(`${server.url}sparse`))
      )
      let highest = 0
      for (const megabytes of [1, 24, 48]) {
        await Promise.all(clients.map((client) => client.readTo(megabytes * MiB)))
        highest = Math.max(highest, memory('RssAnon', server.pid))
      }
      const grownMiB = (highest - before) / MiB
      assert.ok(grownMiB < 48, `${Math.round(grownMiB)} MiB more`)
      for (const client of clients) client.leave('reset')
    })
  })
}

describe('the end of the process', () => {
  it('waits for a running response, refuses new connections, and is exit 0', async (t) => {
    const { server, client } = await stalled(t, ['--shutdown-timeout', '60m'])
    server.child.kill('SIGTERM')
    await logged(server, 'draining')
    await until('new connections are refused', () => isRefused(server))
    assert.equal(server.child.exitCode, null)
    const { body, isComplete } = await client.rest()
    assert.equal(isComplete, true)
    assert.equal(body.length, client.contentLength)
    assert.deepEqual(await server.exited, { code: 0, signal: null })
    assertQuiet(server)
  })

  it('is the same with SIGINT', async (t) => {
    const { server, client } = await stalled(t, ['--shutdown-timeout', '60m'])
    server.child.kill('SIGINT')
    await logged(server, 'draining')
    assert.equal((await client.rest()).isComplete, true)
    assert.deepEqual(await server.exited, { code: 0, signal: null })
  })

  it('cuts what still runs at the timeout, and is exit 0 all the same', async (t) => {
    const { server, client } = await stalled(t, ['--shutdown-timeout', '300ms'])
    server.child.kill('SIGTERM')
    assert.deepEqual(await server.exited, { code: 0, signal: null })
    const { body, isComplete } = await client.rest()
    assert.equal(isComplete, false)
    assert.ok(body.length < client.contentLength)
    assertQuiet(server)
  })

  it('comes at once with a second signal', async (t) => {
    const { server, client } = await stalled(t, ['--shutdown-timeout', '60m'])
    server.child.kill('SIGTERM')
    await logged(server, 'draining')
    server.child.kill('SIGTERM')
    assert.deepEqual(await server.exited, { code: 1, signal: null })
    assert.equal((await client.rest()).isComplete, false)
  })

  // the limit is less than the time after which an idle connection ends anyway
  it('is not delayed by connections that are idle', { timeout: 30_000 }, async (t) => {
    const { server } = await serveSparse(t, MiB, ['--shutdown-timeout', '60m'])
    const neverUsed = await connected(server)
    const usedOnce = await connected(server)
    usedOnce.write('GET /files/sparse HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9\r\n\r\n')
    await new Promise((resolve) => usedOnce.once('data', resolve))
    const closed = [neverUsed, usedOnce].map((socket) => {
      return new Promise((resolve) => socket.resume().once('close', resolve))
    })
    server.child.kill('SIGTERM')
    assert.deepEqual(await server.exited, { code: 0, signal: null })
    await Promise.all(closed)
  })

  it('does not wait for connections that become idle after the signal', async (t) => {
    const { server } = await serveSparse(t, 32 * MiB, ['--shutdown-timeout', '60m'])
    const socket = await connected(server)
    socket.write('GET /files/sparse HTTP/1.1\r\nHost: x\r\n\r\n')
    await new Promise((resolve) => socket.once('readable', resolve))
    server.child.kill('SIGTERM')
    await logged(server, 'draining')
    // the whole body comes, and then the end of the connection from the other side
    let received = 0
    for await (const chunk of socket) received += (chunk as Buffer).length
    assert.ok(received > 32 * MiB)
    assert.deepEqual(await server.exited, { code: 0, signal: null })
  })
})

describe('what nobody has thought of', () => {
  it('is logged, and ends the process with status 1 instead of leaving it half alive', async (t) => {
    const folder = tempFolder(t)
    const preload = join(folder, 'throws.cjs')
    fs.writeFileSync(preload, `process.on('SIGUSR2', () => { throw new Error('on purpose') })`)
    const env = { NODE_OPTIONS: `--require ${preload}` }
    const server = await serve(t, folder, [], { env })
    server.child.kill('SIGUSR2')
    assert.deepEqual(await server.exited, { code: 1, signal: null })
    const record = server.log.find(({ msg }) => msg === 'uncaught error')
    assert.match(JSON.stringify(record), /on purpose/)
  })

  it('may be a SIGBUS: nothing catches it, with which the process would hang', async (t) => {
    const server = await serve(t, tempFolder(t))
    const status = fs.readFileSync(`/proc/${server.pid}/status`, 'utf8')
    const caught = BigInt(`0x${/^SigCgt:\s+(\w+)$/m.exec(status)?.[1]}`)
    const sigbus = 7n
    assert.equal((caught >> (sigbus - 1n)) & 1n, 0n)
    assert.equal((caught >> (15n - 1n)) & 1n, 1n, 'SIGTERM is caught')
  })
})

describe('the thread pool', () => {
  it('is as wide as cold readers on a slow disk need it', async (t) => {
    const { server } = await serveSparse(t, MiB, ['--mode', 'read'])
    await get(`${server.url}sparse`)
    const threads = () => fs.readdirSync(`/proc/${server.pid}/task`).length
    await until('64 threads are there', () => threads() >= 64)
  })
})

async function serveSparse(
  t: TestContext,
  size: number,
  args: readonly string[]
): Promise<{ server: Serving; path: string }> {
  const root = tempFolder(t)
  const path = join(root, 'sparse')
  fs.writeFileSync(path, '')
  fs.truncateSync(path, size)
  return { server: await serve(t, root, args), path }
}

/** A server with one response in the middle of its body, whose client stands still. */
async function stalled(
  t: TestContext,
  args: readonly string[]
): Promise<{ server: Serving; client: PausedClient }> {
  const { server } = await serveSparse(t, 64 * MiB, args)
  const client = await PausedClient.get(`${server.url}sparse`)
  await client.readTo(MiB)
  return { server, client }
}

/** A connection of which this side has to read. */
function connected({ port }: Serving): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(socket))
    socket.on('error', reject)
  })
}

function isRefused({ port }: Serving): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(false))
    socket.on('error', () => resolve(true))
    socket.on('connect', () => socket.destroy())
  })
}

/** Every lease was given back: what is deleted can be let go of, and is. */
async function assertNothingLeft(server: Serving, path: string): Promise<void> {
  assert.equal((await get(`${server.origin}/healthz`)).status, 200)
  fs.rmSync(path)
  assert.equal((await get(`${server.url}sparse`)).status, 404)
  await until('descriptor and mapping are gone', () => {
    return descriptors(path, server.pid) === 0 && mappedBytes(path, server.pid) === 0
  })
  assertQuiet(server)
}

/** Nothing went wrong that nobody had thought of. */
function assertQuiet(server: Serving): void {
  assert.equal(server.stderr(), '')
  const loud = server.log.filter((record) => Number(record.level) > 40)
  assert.deepEqual(loud, [])
}

async function logged(server: Serving, message: string): Promise<void> {
  await until(`the log says "${message}"`, () => {
    return server.log.some((record) => record.msg === message)
  })
}

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import net from 'node:net'
import { describe, it, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { acceptMore } from '#src/process/accept-more.ts'
import { tempFolder } from '../../support/serve.ts'

describe('more than one connection per turn', () => {
  it('all that wait are taken, and are like those that libuv accepts', async (t) => {
    const { server, sockets } = await listening(t)
    acceptMore(server, 100)
    connectFirst(t, server, 10)
    await firstTurn(sockets)
    assert.equal(sockets.length, 10)
    const [first] = sockets as [net.Socket]
    const { port } = server.address() as net.AddressInfo
    for (const socket of sockets) {
      assert.equal((socket as unknown as { server: unknown }).server, server)
      assert.equal(socket.remoteAddress, '127.0.0.1')
      assert.equal(socket.remoteFamily, first.remoteFamily)
      assert.equal(socket.localPort, port)
      assert.equal(socket.allowHalfOpen, first.allowHalfOpen)
      socket.end()
      socket.resume()
    }
    assert.equal(new Set(sockets.map(({ remotePort }) => remotePort)).size, 10)
    server.close()
    await once(server, 'close')
    assert.ok(
      sockets.every(({ destroyed }) => destroyed),
      'close has waited for them'
    )
  })

  it('at most so many that those who are connected do not wait long', async (t) => {
    const { server, sockets } = await listening(t)
    acceptMore(server, 1000)
    connectFirst(t, server, 200)
    await firstTurn(sockets)
    assert.equal(sockets.length, 65)
    while (sockets.length < 200) await nextTurn()
  })

  it('no more than libuv takes beyond the limit of connections', async (t) => {
    const { server, sockets } = await listening(t)
    acceptMore(server, 5)
    connectFirst(t, server, 10)
    await firstTurn(sockets)
    assert.equal(sockets.length, 5)
    while (sockets.length < 10) await nextTurn()
  })

  it('none of a server that is closed by the first', async (t) => {
    const { server, sockets } = await listening(t)
    server.once('connection', () => server.close())
    acceptMore(server, 100)
    connectFirst(t, server, 10)
    await firstTurn(sockets)
    await nextTurn()
    assert.equal(sockets.length, 1)
  })
})

async function listening(t: TestContext) {
  const server = net.createServer({ allowHalfOpen: false, noDelay: true })
  const sockets: net.Socket[] = []
  server.on('connection', (socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { server, sockets }
}

/** While this thread waits, so that all of them wait to be accepted when it goes on. */
function connectFirst(t: TestContext, server: net.Server, count: number): void {
  const { port } = server.address() as net.AddressInfo
  const folder = tempFolder(t)
  const script = `
    let left = ${count}
    for (let n = 0; n < ${count}; n++) {
      require('node:net').connect(${port}, '127.0.0.1', () => {
        if (--left === 0) require('node:fs').writeFileSync('${folder}/connected', '')
      })
    }`
  const child = spawn(process.execPath, ['-e', script], { stdio: 'ignore' })
  t.after(() => child.kill('SIGKILL'))
  const pause = new Int32Array(new SharedArrayBuffer(4))
  while (!existsSync(`${folder}/connected`)) Atomics.wait(pause, 0, 0, 5)
}

/** The turn of the event loop in which it looks for connections. */
async function firstTurn(sockets: readonly net.Socket[]): Promise<void> {
  while (sockets.length === 0) await nextTurn()
}

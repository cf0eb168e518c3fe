/** Connections that are kept for many answers: nothing of an answer stays behind when it is over. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import http from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { join } from 'node:path'
import { it } from 'node:test'
import pino from 'pino'
import { buildApp } from '#src/app.ts'
import { readCommand } from '#src/config/command-line.ts'
import { get, tempFolder } from '../support/serve.ts'

for (const fastPath of ['on', 'off']) {
  it(`answers leave no listeners on their connection, --fast-path ${fastPath}`, async (t) => {
    const root = tempFolder(t)
    fs.writeFileSync(join(root, 'file'), Buffer.alloc(3 * 2 ** 20, 'x'))
    const command = readCommand(['--root', root, '--fast-path', fastPath], {}, '0.0.0')
    assert.equal(command.kind, 'serve')
    const { server } = await buildApp(command.config, pino({ level: 'silent' }), '0.0.0')
    const sockets: Socket[] = []
    server.server.on('connection', (socket) => sockets.push(socket))
    await server.listen({ host: '127.0.0.1', port: 0 })
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
    t.after(async () => {
      agent.destroy()
      await server.close()
    })
    const url = `http://127.0.0.1:${(server.server.address() as AddressInfo).port}/files/`
    const askAll = async () => {
      const last = 'bytes=99999999-'
      assert.equal((await get(`${url}none`, { agent })).status, 404)
      assert.equal((await get(`${url}file`, { agent, headers: { range: last } })).status, 416)
      assert.equal((await get(`${url}file`, { agent, headers: { 'if-match': '"x"' } })).status, 412)
      assert.equal((await get(`${url}file`, { agent })).body.length, 3 * 2 ** 20)
      assert.equal(
        (await get(`${url}file`, { agent, headers: { range: 'bytes=1-9' } })).status,
        206
      )
    }
    const listeners = () => {
      assert.equal(sockets.length, 1, 'one connection')
      const [socket] = sockets as [Socket]
      return ['close', 'error', 'data', 'drain', 'end', 'timeout'].map((event) =>
        socket.listenerCount(event)
      )
    }
    await askAll()
    const before = listeners()
    for (let n = 0; n < 20; n++) await askAll()
    assert.deepEqual(listeners(), before)
  })
}

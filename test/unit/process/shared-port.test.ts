import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { describe, it } from 'node:test'
import { CannotServe } from '#src/process/cannot-serve.ts'
import { canReusePort, claimPort } from '#src/process/shared-port.ts'

it('listen() of node:net has reusePort from 22.12 and from 23.1 on', () => {
  const can = ['22.12.0', '22.20.1', '23.1.0', '24.0.0', '26.3.0']
  const cannot = ['20.19.0', '21.7.3', '22.11.0', '23.0.0']
  for (const version of can) assert.equal(canReusePort(version), true, version)
  for (const version of cannot) assert.equal(canReusePort(version), false, version)
})

describe('the claim of a port', () => {
  it('finds a free one for 0, on which anybody can listen afterwards', async (t) => {
    const claim = await claimPort('127.0.0.1', 0)
    assert.ok(claim.port > 0)
    const server = net.createServer().listen(claim.port, '127.0.0.1')
    t.after(() => server.close())
    await once(server, 'listening')
    claim.release()
  })

  it('keeps others away until it is released', { skip: !canReusePort() }, async () => {
    const { port, release } = await claimPort('127.0.0.1', 0)
    const line = `cannot listen on 127.0.0.1:${port}: the port is taken`
    await assert.rejects(claimPort('127.0.0.1', port), (error) => {
      return error instanceof CannotServe && error.message === line
    })
    release()
    const again = await claimPort('127.0.0.1', port)
    again.release()
  })

  it('fails where somebody listens', async (t) => {
    const server = net.createServer().listen(0, '127.0.0.1')
    t.after(() => server.close())
    await once(server, 'listening')
    const { port } = server.address() as net.AddressInfo
    await assert.rejects(claimPort('127.0.0.1', port), CannotServe)
  })
})

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import { constants } from 'node:os'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { addressOf } from '#src/storage/native/libc.ts'
import { map, revoke } from '#src/storage/native/mapping.ts'
import { pageBytes } from '#src/storage/native/page-size.ts'
import { acceptNow, queuedBytes, sendNow } from '#src/storage/native/sockets.ts'
import { patternBytes } from '../../support/serve.ts'
import { patternFile } from './native-files.ts'

const { EAGAIN, EFAULT, EPIPE, ECONNRESET, EBADF } = constants.errno
const MiB = 2 ** 20

describe('accepting at once', () => {
  it('takes what waits, non-blocking and closed by exec, then answers EAGAIN', async (t) => {
    const server = net.createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => server.close())
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle
    assert.equal(acceptNow(fd), -EAGAIN)
    const { port } = server.address() as net.AddressInfo
    // bash connects while this thread waits for it, so that the event loop cannot take the connection first
    const { status } = spawnSync('bash', ['-c', `exec 3<>/dev/tcp/127.0.0.1/${port}; sleep 0.01`])
    assert.equal(status, 0)
    const accepted = acceptNow(fd)
    assert.ok(accepted > 2, `${accepted}`)
    const flags = /^flags:\s+(\d+)/m.exec(fs.readFileSync(`/proc/self/fdinfo/${accepted}`, 'utf8'))
    const wanted = fs.constants.O_NONBLOCK | 0o2000000 // O_CLOEXEC
    assert.equal(Number.parseInt(flags?.[1] ?? '0', 8) & wanted, wanted)
    fs.closeSync(accepted)
    assert.equal(acceptNow(fd), -EAGAIN)
  })

  it('answers EBADF for a descriptor that is not open', () => {
    assert.equal(acceptNow(1_000_000), -EBADF)
  })
})

describe('sending at once', () => {
  it('sends a head and a body of mapped memory in one piece', async (t) => {
    const { fd, client } = await connection(t)
    const file = patternFile(t, 3 * pageBytes)
    const mapping = map(file.fd, 0, 3 * pageBytes)
    t.after(() => revoke(mapping))
    const head = Buffer.from('xx the head xx')
    const length = 2 * pageBytes
    const sent = sendNow(fd, addressOf(head) + 3, 8, mapping.address + 100, length)
    assert.equal(sent, 8 + length)
    const received = await receive(client, sent)
    assert.equal(received.toString('latin1', 0, 8), 'the head')
    assert.deepEqual(received.subarray(8), patternBytes(100, 100 + length))
  })

  it('sends a head alone, and a body alone', async (t) => {
    const { fd, client } = await connection(t)
    const [head, body] = [Buffer.from('head'), Buffer.from('body')]
    assert.equal(sendNow(fd, addressOf(head), 4, 0, 0), 4)
    assert.equal(sendNow(fd, 0, 0, addressOf(body), 4), 4)
    assert.equal((await receive(client, 8)).toString(), 'headbody')
  })

  it('takes a part when the socket has no room for all, then nothing, and goes on where it stopped', async (t) => {
    const { fd, client } = await connection(t)
    const head = Buffer.alloc(1000, 'h')
    const body = patternBytes(0, 64 * MiB)
    const start = addressOf(body)
    const first = sendNow(fd, addressOf(head), head.length, start, body.length)
    assert.ok(first > head.length && first < head.length + body.length, `${first} bytes`)
    let sent = first
    // what the kernel moves to the reader's side meanwhile makes room again, until both sides are full
    for (let idle = 0; idle < 3; ) {
      const count = sendNow(fd, 0, 0, start + sent - head.length, body.length + head.length - sent)
      assert.ok(count >= 0, `errno ${-count}`)
      sent += count
      idle = count === 0 ? idle + 1 : 0
      await wait(10)
    }
    assert.ok(sent < head.length + body.length, 'a reader that does not read stops it')
    assert.ok(queuedBytes(fd) > 0)
    const received = await receive(client, sent)
    assert.ok(received.subarray(0, head.length).equals(head))
    assert.ok(received.subarray(head.length).equals(body.subarray(0, sent - head.length)))
    while (queuedBytes(fd) > 0) await wait(1)
    const rest = sendNow(fd, 0, 0, start + sent - head.length, 100)
    assert.equal(rest, 100)
    const expected = body.subarray(sent - head.length, sent - head.length + 100)
    assert.deepEqual(await receive(client, 100), expected)
  })

  it('answers EFAULT for a revoked mapping, and sends nothing of the head either', async (t) => {
    const { fd, client } = await connection(t)
    const file = patternFile(t, pageBytes)
    const mapping = map(file.fd, 0, pageBytes)
    revoke(mapping)
    const head = Buffer.from('head')
    assert.equal(sendNow(fd, addressOf(head), 4, mapping.address, pageBytes), -EFAULT)
    assert.equal(sendNow(fd, 0, 0, mapping.address, pageBytes), -EFAULT)
    // the connection is as it was
    assert.equal(sendNow(fd, addressOf(head), 4, 0, 0), 4)
    assert.equal((await receive(client, 4)).toString(), 'head')
  })

  it('sends what is left of a truncated file, then answers EFAULT', async (t) => {
    const { fd, client } = await connection(t)
    const pages = 64
    const file = patternFile(t, pages * pageBytes)
    const mapping = map(file.fd, 0, pages * pageBytes)
    t.after(() => revoke(mapping))
    const left = 48 * pageBytes
    fs.truncateSync(file.path, left)
    let sent = 0
    let count = 0
    do {
      count = sendNow(fd, 0, 0, mapping.address + sent, pages * pageBytes - sent)
      if (count > 0) sent += count
    } while (count > 0)
    assert.equal(count, -EFAULT)
    assert.ok(sent > 0 && sent <= left, `${sent} bytes`)
    assert.equal(sendNow(fd, 0, 0, mapping.address + left, pageBytes), -EFAULT)
    // all that is left can be had by asking for no more
    while (sent < left) sent += sendNow(fd, 0, 0, mapping.address + sent, left - sent)
    assert.deepEqual(await receive(client, left), patternBytes(0, left))
  })

  it('answers with the errno of a peer that is gone, without a SIGPIPE', async (t) => {
    const { fd, client } = await connection(t)
    let signals = 0
    const count = () => signals++
    process.on('SIGPIPE', count)
    t.after(() => process.off('SIGPIPE', count))
    const body = Buffer.alloc(100)
    client.resetAndDestroy()
    let result = 0
    while (result >= 0) {
      await wait(1)
      result = sendNow(fd, 0, 0, addressOf(body), body.length)
    }
    assert.ok([-EPIPE, -ECONNRESET].includes(result), `errno ${-result}`)
    // the reset is told once, a broken pipe from then on
    assert.equal(sendNow(fd, 0, 0, addressOf(body), body.length), -EPIPE)
    await wait(10)
    assert.equal(signals, 0)
  })

  it('answers EBADF for a descriptor that is not open', () => {
    assert.equal(sendNow(1_000_000, 0, 0, 0, 0), -EBADF)
    assert.equal(queuedBytes(1_000_000), -EBADF)
  })
})

/** Both ends of a TCP connection: the server's, which nobody reads or writes through Node, and the client's, paused. */
async function connection(t: TestContext): Promise<{ fd: number; client: net.Socket }> {
  const server = net.createServer({ pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1')
  client.pause()
  client.on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [net.Socket]
  t.after(() => {
    socket.destroy()
    client.destroy()
    server.close()
  })
  const handle = (socket as unknown as { _handle: { fd: number } })._handle
  return { fd: handle.fd, client }
}

/** So many bytes, or a few more when more were sent; the client is paused again afterwards. */
async function receive(client: net.Socket, length: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  let received = 0
  await new Promise<void>((resolve) => {
    const take = (piece: Buffer) => {
      pieces.push(piece)
      received += piece.length
      if (received < length) return
      client.off('data', take).pause()
      resolve()
    }
    client.on('data', take).resume()
  })
  return Buffer.concat(pieces)
}

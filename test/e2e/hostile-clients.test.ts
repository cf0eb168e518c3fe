/** Clients that are slow, gone, or mad: none may cost the others anything, or learn anything. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { memory } from '../support/kernel-view.ts'
import { get, patternBytes, raw, type Serving, serve, tempFolder, until } from '../support/serve.ts'

const MiB = 2 ** 20
const bytes = patternBytes(0, MiB)

/** A small file with a pattern, a large one of zeros, and things that are not to be had. */
async function serveAll(t: TestContext, args: readonly string[] = []) {
  const root = tempFolder(t)
  fs.writeFileSync(join(root, 'small'), bytes)
  fs.writeFileSync(join(root, 'large'), '')
  fs.truncateSync(join(root, 'large'), 64 * MiB)
  fs.mkdirSync(join(root, 'folder'))
  fs.writeFileSync(join(root, '.hidden'), 'hidden')
  const server = await serve(t, root, ['--log-level', 'info', ...args])
  await assertServes(server)
  return { root, server }
}

async function assertServes(server: Serving): Promise<void> {
  const { status, body } = await get(`${server.url}small`, { headers: { range: 'bytes=5-70004' } })
  assert.equal(status, 206)
  assert.ok(body.equals(bytes.subarray(5, 70_005)))
}

function sockets(pid: number): number {
  return fs.readdirSync(`/proc/${pid}/fd`).filter((fd) => {
    try {
      return fs.readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith('socket:')
    } catch {
      return false // closed since
    }
  }).length
}

function connect({ port }: Serving): Promise<net.Socket> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1', () => resolve(socket))
    socket.on('error', (error) => reject(error))
  })
}

for (const mode of ['mmap', 'read'] as const) {
  it(`3,000 that go in the middle of a body leave nothing behind, ${mode}`, async (t) => {
    const { server } = await serveAll(t, ['--mode', mode])
    const socketsBefore = sockets(server.pid)
    let before = 0
    for (let round = 0; round < 30; round++) {
      const clients = await Promise.all(Array.from({ length: 100 }, () => connect(server)))
      await Promise.all(
        clients.map(async (socket, n) => {
          const data = new Promise((resolve) => socket.once('data', resolve))
          socket.write('GET /files/large HTTP/1.1\r\nHost: x\r\n\r\n')
          await data
          if (n % 2 === 0) socket.resetAndDestroy()
          else socket.destroy()
        })
      )
      if (round === 4) before = memory('RssAnon', server.pid)
    }
    await assertServes(server)
    await until('their sockets are closed', () => sockets(server.pid) <= socketsBefore + 1)
    const grownMiB = (memory('RssAnon', server.pid) - before) / MiB
    assert.ok(grownMiB < 64, `${Math.round(grownMiB)} MiB more`)
    // a stall may be the machine's, when others use it
    const complaints = server.log.filter(
      ({ level, msg }) => Number(level) > 30 && msg !== 'the event loop stalled'
    )
    assert.deepEqual(complaints, [])
  })
}

it('200 that read 1 KiB a second cost next to nothing', async (t) => {
  const { server } = await serveAll(t)
  await get(`${server.url}large`) // in memory, and mapped
  const before = memory('RssAnon', server.pid)
  const clients = await Promise.all(Array.from({ length: 200 }, () => connect(server)))
  for (const socket of clients) {
    socket.pause()
    socket.write('GET /files/large HTTP/1.1\r\nHost: x\r\n\r\n')
  }
  for (let second = 0; second < 4; second++) {
    for (const socket of clients) socket.read(1024)
    await wait(1000)
    await assertServes(server)
  }
  const grownMiB = (memory('RssAnon', server.pid) - before) / MiB
  assert.ok(grownMiB < 64, `${Math.round(grownMiB)} MiB more`)
  for (const socket of clients) socket.destroy()
  await until('they are gone', () => sockets(server.pid) < 20)
})

it('500 that send a byte of their headers a second are shown the door, and keep nobody out', async (t) => {
  const { server } = await serveAll(t)
  const clients = await Promise.all(Array.from({ length: 500 }, () => connect(server)))
  const request = 'GET /files/small HTTP/1.1\r\nHost: example\r\nX-Long: '
  let closed = 0
  for (const socket of clients) {
    socket.on('error', () => {})
    socket.on('close', () => closed++)
    socket.resume()
  }
  for (let n = 0; closed < clients.length; n++) {
    assert.ok(n < 30, `${clients.length - closed} are still there after ${n} s`)
    for (const socket of clients) if (socket.writable) socket.write(request[n] ?? 'x')
    await assertServes(server)
    await wait(1000)
  }
})

it('100 pipelined ranges come in order', async (t) => {
  const { server } = await serveAll(t)
  const ranges = Array.from({ length: 100 }, (_, n) => [n * 9_000, n * 9_000 + n * 50] as const)
  const requests = ranges.map(([first, last], n) => {
    const connection = n === 99 ? 'Connection: close\r\n' : ''
    return `GET /files/small HTTP/1.1\r\nHost: x\r\nRange: bytes=${first}-${last}\r\n${connection}\r\n`
  })
  let rest = await raw(server.origin, requests.join(''))
  for (const [first, last] of ranges) {
    const headersEnd = rest.indexOf('\r\n\r\n')
    const headers = rest.subarray(0, headersEnd).toString()
    assert.match(headers, new RegExp(`^content-range: bytes ${first}-${last}/${MiB}\r?$`, 'im'))
    const body = rest.subarray(headersEnd + 4, headersEnd + 4 + last - first + 1)
    assert.ok(body.equals(bytes.subarray(first, last + 1)))
    rest = rest.subarray(headersEnd + 4 + body.length)
  }
  assert.equal(rest.length, 0)
})

describe('9,600 requests that are mutated at random', () => {
  it('no 500, no path of the machine, no hang, no growth', { timeout: 120_000 }, async (t) => {
    const { root, server } = await serveAll(t)
    // longer than a window, and no more: a thousand of these requests are for the whole of it
    fs.truncateSync(join(root, 'large'), 3 * MiB)
    const random = randomFrom(20261124)
    const seen = new Map<string, number>()
    let before = 0
    const lane = async (count: number) => {
      for (let n = 0; n < count; n++) {
        const request = mutatedRequest(random)
        const answer = await ask(server, request)
        const text = answer.toString('latin1')
        const shown = JSON.stringify(request.toString('latin1'))
        const status = /^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? (text === '' ? 'none' : 'odd')
        seen.set(status, (seen.get(status) ?? 0) + 1)
        assert.ok(!['odd', '500', '503'].includes(status), `${status} for ${shown}`)
        const leaks = [root, process.cwd(), 'node_modules', '.js:', '.ts:', 'hidden']
        for (const leak of leaks) assert.ok(!text.includes(leak), `${leak} for ${shown}`)
      }
    }
    const lanes = (count: number) => Promise.all(Array.from({ length: 64 }, () => lane(count / 64)))
    await lanes(3200)
    before = memory('RssAnon', server.pid)
    await lanes(6400)
    await assertServes(server)
    await until('their sockets are closed', () => sockets(server.pid) < 20)
    const grownMiB = (memory('RssAnon', server.pid) - before) / MiB
    assert.ok(grownMiB < 64, `${Math.round(grownMiB)} MiB more`)
    t.diagnostic(JSON.stringify(Object.fromEntries(seen)))
    for (const status of ['200', '206', '400', '404', '416']) assert.ok(seen.has(status), status)
    assert.deepEqual(
      server.log.filter(({ level }) => Number(level) > 40),
      []
    )
  })
})

/** Sends bytes; half-closes when nothing more seems to come, as the request may have no end. */
function ask({ port }: Serving, request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = net.connect(port, '127.0.0.1', () => socket.write(request))
    const half = setTimeout(() => socket.end(), 200)
    const hung = setTimeout(() => {
      socket.destroy()
      reject(new Error(`no end of ${JSON.stringify(request.toString('latin1'))}`))
    }, 20_000)
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', () => {}) // a reset: "close" follows
    socket.on('close', () => {
      clearTimeout(half)
      clearTimeout(hung)
      resolve(Buffer.concat(chunks))
    })
  })
}

/** Mulberry32: the same numbers in every run. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * below)
  }
}

function mutatedRequest(random: (below: number) => number): Buffer {
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T
  const number = () =>
    pick([
      '0',
      '1',
      '99',
      `${random(MiB)}`,
      `${MiB - 1}`,
      `${MiB}`,
      '9'.repeat(random(30)),
      '-1',
      ''
    ])
  const range = () => pick([`${number()}-${number()}`, `${number()}-`, `-${number()}`, number()])
  const set = Array.from({ length: random(4) === 0 ? random(80) : 1 }, range).join(
    pick([',', ', ', ' ,,', ';'])
  )
  const target = pick([
    ...['/files/small', '/files/small', '/files/large', '/files/folder', '/files/none', '/files/'],
    ...['/files/../.hidden', '/files/.hidden', '/files/%2e%2e/%2e%2e/etc/passwd', '/files//small'],
    ...['/files/small%00', '/files/%', '/files/%ff%fe', '/files/small?x=../..', '*', '/', 'small'],
    ...['http://x/files/small', `/files/${'a/'.repeat(random(3000))}`, '/files/small/x', '/healthz']
  ])
  const headers = [
    'Host: x',
    'Connection: close',
    `Range: ${pick(['bytes', 'bytes', 'bytes', 'Bytes', 'items', ''])}=${set}`,
    pick(['', '', `If-Range: ${pick(['"x"', 'W/"x"', 'yesterday', '"'])}`]),
    pick(['', '', `If-None-Match: ${pick(['*', '"a", "b"', '"', 'W/'])}`]),
    pick(['', '', `If-Modified-Since: ${pick(['Thu, 01 Jan 1970 00:00:00 GMT', 'x', '0'])}`]),
    pick([
      '',
      '',
      '',
      `X: ${'y'.repeat(random(20_000))}`,
      'Content-Length: 5',
      'Expect: 100-continue'
    ])
  ].filter((header) => header !== '')
  const method = pick(['GET', 'GET', 'GET', 'GET', 'HEAD', 'OPTIONS', 'POST', 'BREW', 'get'])
  const bytes = Buffer.from(`${method} ${target} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n`)
  // half of them as they are; in the others a few bytes are changed, doubled, or left out
  let mutated = bytes
  for (let n = random(2) === 0 ? 0 : 1 + random(4); n > 0; n--) {
    const at = random(mutated.length)
    const [before, after] = [mutated.subarray(0, at), mutated.subarray(at)]
    mutated = pick([
      () => Buffer.concat([before, Buffer.from([random(256)]), after.subarray(1)]),
      () => Buffer.concat([before, after.subarray(0, 9), after]),
      () => Buffer.concat([before, after.subarray(1 + random(5))])
    ])()
  }
  return mutated
}

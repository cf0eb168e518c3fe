/**
 * What the hot path costs, in seconds: requests in, bytes out, over a socket pair instead of a network. Per request:
 * CPU time of the process (user and system) and bytes allocated by JavaScript, the median of several rounds. Compare
 * figures of one run, or of two builds in turn; machines drift.
 *
 *   npm run bench                    all cases
 *   npm run bench -- 4KiB 304        only these
 */
import { EventEmitter } from 'node:events'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { median } from './statistics.mjs'

const require = createRequire(import.meta.url)
const dist = (file) => require(`../dist/${file}.js`)
const koffi = require('koffi')
const { readCommand } = dist('config/command-line')
const { buildApp } = dist('app')
const libc = koffi.load(null)
const socketpair = libc.func('int socketpair(int domain, int type, int protocol, _Out_ int *fds)')
const recv = libc.func('int64_t recv(int fd, void *buffer, size_t length, int flags)')
const close = libc.func('int close(int fd)')
const AF_UNIX = 1
const SOCK_STREAM_NONBLOCK = 1 | 0o4000
const MSG_DONTWAIT = 0x40

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'range-server-bench-'))
const fileBytes = 64 * 2 ** 20
fs.writeFileSync(path.join(folder, 'file.bin'), Buffer.alloc(fileBytes, 'range'))
const old = new Date(Date.now() - 3_600_000)
fs.utimesSync(path.join(folder, 'file.bin'), old, old)

const { config } = readCommand(['--root', folder, '--log-level', 'silent'], {}, '0.0.0')
const log = new Proxy({}, { get: () => () => false })
const app = await buildApp(config, log, '0.0.0')

/** A connection of the service on one end of a socket pair; what it sends is read and thrown away here. */
function connect() {
  const fds = [0, 0]
  if (socketpair(AF_UNIX, SOCK_STREAM_NONBLOCK, 0, fds) !== 0) throw new Error('no socket pair')
  const socket = new EventEmitter()
  Object.assign(socket, {
    _handle: { fd: fds[0] },
    destroyed: false,
    writableLength: 0,
    setTimeout: () => socket,
    setMaxListeners: () => socket,
    pause() {},
    resume() {},
    destroy() {},
    write() {
      throw new Error('the socket pair is full: a smaller answer fits')
    }
  })
  app.server.server.emit('connection', socket)
  const sink = Buffer.alloc(2 ** 20)
  return {
    /** time spent in `drain`, which is not the service's */
    drainedUs: 0,
    send: (bytes) => socket.emit('data', bytes),
    drain() {
      const startedAtMs = performance.now()
      let bytes = 0
      for (let count = 1; count > 0; ) {
        count = Number(recv(fds[1], sink, sink.length, MSG_DONTWAIT))
        if (count > 0) bytes += count
      }
      this.drainedUs += (performance.now() - startedAtMs) * 1000
      return bytes
    },
    close() {
      socket.emit('close')
      for (const fd of fds) close(fd)
    }
  }
}

const browser =
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n' +
  'Accept: */*\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n' +
  'Origin: https://maps.example\r\nReferer: https://maps.example/\r\nConnection: keep-alive\r\n'

function request(method, fields) {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  return Buffer.from(
    `${method} /files/file.bin HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n${browser}${lines.join('')}\r\n`
  )
}

const randomRange = (length) => () => {
  const start = Math.floor(Math.random() * (fileBytes - length))
  return request('GET', { Range: `bytes=${start}-${start + length - 1}` })
}
const etag = await firstEtag()
const cases = {
  '4KiB': randomRange(4096),
  '64KiB': randomRange(65_536),
  '4 ranges': () => request('GET', { Range: 'bytes=0-99,10000-10099,20000-20099,30000-30099' }),
  304: () => request('GET', { 'If-None-Match': etag }),
  HEAD: () => request('HEAD', {}),
  416: () => request('GET', { Range: `bytes=${fileBytes}-` })
}

async function firstEtag() {
  const connection = connect()
  connection.send(request('GET', { Range: 'bytes=0-9' }))
  await new Promise((resolve) => setTimeout(resolve, 200))
  connection.drain()
  connection.close()
  const answer = await app.server.inject('/files/file.bin?range')
  return answer.headers.etag
}

const requestsPerRound = 2000
const rounds = 15

async function measure(make) {
  const connection = connect()
  const ownBytes = await measureOwn(connection)
  const heads = Array.from({ length: requestsPerRound }, make)
  const cpu = []
  const allocated = []
  for (let round = 0; round < rounds; round++) {
    globalThis.gc?.()
    const heapBefore = process.memoryUsage().heapUsed
    const cpuBefore = process.cpuUsage()
    connection.drainedUs = 0
    for (const head of heads) {
      connection.send(head)
      if (connection.drain() === 0) await settled(connection)
    }
    const { user, system } = process.cpuUsage(cpuBefore)
    cpu.push((user + system - connection.drainedUs) / requestsPerRound)
    const bytes = (process.memoryUsage().heapUsed - heapBefore) / requestsPerRound
    allocated.push(Math.max(0, bytes - ownBytes))
  }
  connection.close()
  return { cpuUs: median(cpu), allocatedBytes: median(allocated) }
}

/** What reading and throwing away allocates: a read that finds something, and one that does not. */
async function measureOwn(connection) {
  globalThis.gc?.()
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < requestsPerRound; i++) {
    connection.drain()
    connection.drain()
  }
  return (process.memoryUsage().heapUsed - before) / requestsPerRound
}

/** An answer that takes more than one turn of the event loop. */
async function settled(connection) {
  do await new Promise((resolve) => setImmediate(resolve))
  while (connection.drain() === 0)
}

const wanted = process.argv.slice(2)
const names = wanted.length === 0 ? Object.keys(cases) : wanted
for (const name of names) {
  if (cases[name] === undefined) {
    console.error(`${name} is not a case; there are: ${Object.keys(cases).join(', ')}`)
    process.exit(2)
  }
}
console.log(
  `${'case'.padEnd(12)}${'CPU µs'.padStart(10)}${'allocated bytes'.padStart(18)}   per request`
)
for (const name of names) {
  const { cpuUs, allocatedBytes } = await measure(cases[name])
  console.log(
    `${name.padEnd(12)}${cpuUs.toFixed(2).padStart(10)}${allocatedBytes.toFixed(0).padStart(18)}`
  )
}
await app.server.close()
fs.rmSync(folder, { recursive: true })
process.exit(0)

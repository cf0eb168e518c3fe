/** Connections: many at once, too many, and what is left of them afterwards. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { canReusePort } from '#src/process/shared-port.ts'
import {
  get,
  type Lifetime,
  mainFile,
  patternBytes,
  type Serving,
  serve,
  tempFolder,
  until,
  writePattern
} from '../support/serve.ts'

const MiB = 2 ** 20

describe('many connections at once', () => {
  it('wait to be accepted, as many as the system allows, and are answered', async (t) => {
    const most = Number(fs.readFileSync('/proc/sys/net/core/somaxconn', 'utf8'))
    if (most < 1000) return t.skip(`net.core.somaxconn is ${most}`)
    const root = tempFolder(t)
    const bytes = writePattern(path.join(root, 'a'), 1000)
    const serving = await serve(t, root)
    serving.child.kill('SIGSTOP')
    // by the kernel alone; beyond the backlog it lets clients wait
    const clients = await Promise.all(Array.from({ length: 800 }, () => client(t, serving)))
    serving.child.kill('SIGCONT')
    await Promise.all(clients.map((client) => assertAnswered(client, bytes)))
  })

  it('are like others to a drain: running answers end, and then the process', async (t) => {
    const root = tempFolder(t)
    const bytes = writePattern(path.join(root, 'a'), 24 * MiB)
    // a busy machine takes its time for half a GiB
    const serving = await serve(t, root, ['--shutdown-timeout', '2m'])
    serving.child.kill('SIGSTOP')
    const clients = await Promise.all(Array.from({ length: 20 }, () => client(t, serving)))
    const [first] = clients
    for (const client of clients) client.write('GET /files/a HTTP/1.1\r\nHost: x\r\n\r\n')
    serving.child.kill('SIGCONT')
    const ends = clients.map(bytesUntilEnd)
    await once(first as net.Socket, 'data')
    serving.child.kill('SIGTERM')
    for (const received of await Promise.all(ends)) {
      assert.ok(received.subarray(-bytes.length).equals(bytes))
    }
    assert.deepEqual(await serving.exited, { code: 0, signal: null })
  })

  it('are closed when their clients go', async (t) => {
    const root = tempFolder(t)
    writePattern(path.join(root, 'a'), 1000)
    const serving = await serve(t, root)
    serving.child.kill('SIGSTOP')
    const clients = await Promise.all(Array.from({ length: 50 }, () => client(t, serving)))
    const before = openDescriptors(serving.pid)
    serving.child.kill('SIGCONT')
    await until('all are accepted', () => openDescriptors(serving.pid) >= before + clients.length)
    for (const client of clients) client.destroy()
    await until('all are closed', () => openDescriptors(serving.pid) <= before)
  })
})

describe('too many connections', () => {
  it('cost workers and their parent no CPU while they wait, and are reset or refused', async (t) => {
    const root = tempFolder(t)
    writePattern(path.join(root, 'a'), 1000)
    const args = ['--workers', '2', '--max-connections', '4', '--ops-port', '0']
    const serving = await serve(t, root, args)
    const clients = await Promise.all(Array.from({ length: 13 }, () => client(t, serving)))
    const pids = [serving.pid, ...workerPids(serving.pid)]
    assert.equal(pids.length, 3)
    await wait(500) // for what is done once
    const before = pids.map(cpuMs)
    await wait(2000)
    const spentMs = pids.map((pid, i) => cpuMs(pid) - (before[i] as number))
    for (const ms of spentMs) assert.ok(ms < 500, `${spentMs.join(', ')} ms of CPU in 2 s`)
    const answers = await Promise.all(clients.map(statusOf))
    for (const answer of answers) assert.ok([200, 503, 'reset'].includes(answer), `${answer}`)
    // two workers of 4; the kernel need not share 13 out evenly
    const served = answers.filter((answer) => answer === 200).length
    assert.ok(served >= 4 && served <= 8, `${served} served`)
  })

  it('without workers: those far beyond the limit are reset, the others refused in words', async (t) => {
    const root = tempFolder(t)
    writePattern(path.join(root, 'a'), 1000)
    const serving = await serve(t, root, ['--max-connections', '8'])
    const clients = await Promise.all(Array.from({ length: 30 }, () => client(t, serving)))
    await until('the rest is reset', () => clients.filter(({ closed }) => closed).length >= 18)
    const answers = await Promise.all(clients.map(statusOf))
    const countOf = (answer: unknown) => answers.filter((other) => other === answer).length
    assert.equal(countOf(200), 8)
    assert.equal(countOf(503), 4)
    assert.equal(countOf('reset'), 18)
  })

  it('with 128 descriptors: refusals end with the storm', async (t) => {
    const root = tempFolder(t)
    for (let n = 0; n < 500; n++) {
      fs.writeFileSync(path.join(root, `f${n}`), patternBytes(n, n + 20_000))
    }
    const args = ['--ops-port', '0']
    const serving = await serve(t, root, args, { under: ['prlimit', '--nofile=128'] })
    for (let round = 0; round < 3; round++) {
      await storm(serving)
      for (let n = 0; n < 500; n += 7) {
        const { status, body } = await get(`${serving.url}f${n}`)
        assert.equal(status, 200)
        assert.ok(body.equals(patternBytes(n, n + 20_000)))
      }
    }
  })
})

describe('one port for several workers', () => {
  it('each listens by itself where Node can', { skip: !canReusePort() }, async (t) => {
    const root = tempFolder(t)
    writePattern(path.join(root, 'a'), 1000)
    const serving = await serve(t, root, ['--workers', '2', '--ops-port', '0'])
    const listening = listeningSockets(serving.port)
    assert.equal(listening.length, 2)
    for (const pid of workerPids(serving.pid)) {
      assert.equal(socketsOf(pid).filter((inode) => listening.includes(inode)).length, 1)
    }
  })

  it('of two services that start at the same time, one has it', async (t) => {
    const root = tempFolder(t)
    writePattern(path.join(root, 'a'), 1000)
    const port = await freePort()
    const args = [mainFile, '--root', root, '--workers', '2', '--port', `${port}`]
    const children = Array.from({ length: 4 }, () => {
      const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] })
      let stderr = ''
      child.stderr.on('data', (chunk) => (stderr += chunk))
      const exited = once(child, 'close').then(([code]) => ({ code, stderr }))
      t.after(async () => {
        child.kill('SIGKILL')
        await exited
      })
      return { child, exited }
    })
    const losers = await firstOf(
      children.map(({ exited }) => exited),
      3
    )
    for (const { code, stderr } of losers) {
      assert.equal(code, 1)
      assert.equal(stderr, `cannot listen on 127.0.0.1:${port}: the port is taken\n`)
    }
    await until('the fourth serves', async () => {
      const answer = await get(`http://127.0.0.1:${port}/files/a`).catch(() => undefined)
      return answer?.status === 200
    })
  })

  it('is free again for the next service while the last one drains', async (t) => {
    const root = tempFolder(t)
    const bytes = writePattern(path.join(root, 'a'), 24 * MiB)
    const first = await serve(t, root, ['--workers', '2', '--ops-port', '0'])
    const download = await client(t, first)
    download.write('GET /files/a HTTP/1.1\r\nHost: x\r\n\r\n')
    await once(download, 'readable')
    first.child.kill('SIGTERM')
    await until('nobody listens', () => listeningSockets(first.port).length === 0)
    const args = ['--workers', '2', '--ops-port', '0', '--port', `${first.port}`]
    const second = await serve(t, root, args)
    assert.equal((await get(`${second.url}a`)).status, 200)
    assert.ok((await bytesUntilEnd(download)).subarray(-bytes.length).equals(bytes))
    assert.deepEqual(await first.exited, { code: 0, signal: null })
  })
})

/** A connection that has said nothing; it may have been reset already. */
function client(t: Lifetime, { port }: Serving): Promise<net.Socket> {
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  t.after(() => socket.destroy())
  return new Promise((resolve) => {
    for (const event of ['connect', 'close']) socket.once(event, () => resolve(socket))
  })
}

async function assertAnswered(client: net.Socket, bytes: Buffer): Promise<void> {
  client.write('GET /files/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
  assert.ok((await bytesUntilEnd(client)).subarray(-bytes.length).equals(bytes))
}

async function bytesUntilEnd(client: net.Socket): Promise<Buffer> {
  const chunks: Buffer[] = []
  client.on('data', (chunk) => chunks.push(chunk))
  await once(client, 'close')
  return Buffer.concat(chunks)
}

/** What a connection gets for its first request. */
async function statusOf(client: net.Socket): Promise<number | 'reset'> {
  if (client.destroyed) return 'reset'
  client.write('GET /files/a HTTP/1.1\r\nHost: x\r\n\r\n')
  const outcome = await Promise.race([once(client, 'data'), once(client, 'close')])
  const head = String(outcome[0])
  return head.startsWith('HTTP/1.1 ') ? Number(head.slice(9, 12)) : 'reset'
}

/** 400 clients who ask again and again, connect again when they are refused, and are all gone after a second. */
async function storm({ port }: Serving): Promise<void> {
  let isOver = false
  const sockets = new Set<net.Socket>()
  const begin = (n: number) => {
    if (isOver) return
    let next = n
    const ask = () => socket.write(`GET /files/f${next % 500} HTTP/1.1\r\nHost: x\r\n\r\n`)
    const socket = net.connect(port, '127.0.0.1', ask)
    sockets.add(socket)
    socket.on('data', () => {
      next += 401
      if (next % 2 === 0) ask()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      begin(n + 7)
    })
  }
  for (let n = 0; n < 400; n++) begin(n)
  await wait(1000)
  isOver = true
  const closed = [...sockets].map((socket) => once(socket, 'close'))
  for (const socket of sockets) socket.destroy()
  await Promise.all(closed)
}

function openDescriptors(pid: number): number {
  return fs.readdirSync(`/proc/${pid}/fd`).length
}

function workerPids(pid: number): number[] {
  const text = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
  return text.trim().split(' ').filter(Boolean).map(Number)
}

/** @returns milliseconds of CPU, user and system; see proc_pid_stat(5) */
function cpuMs(pid: number): number {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // fields 14 and 15 of the line, in ticks of 10 ms
  return (Number(fields[11]) + Number(fields[12])) * 10
}

/** @returns inodes of listening TCP sockets */
function listeningSockets(port: number): string[] {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0')
  const lines = fs.readFileSync('/proc/net/tcp', 'utf8').trim().split('\n').slice(1)
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => local?.endsWith(`:${hexPort}`) && state === '0A')
    .map((fields) => fields[9] as string)
}

/** @returns inodes of the sockets that a process has */
function socketsOf(pid: number): string[] {
  return fs.readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    const [, inode] = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${fd}`)) ?? []
    return inode === undefined ? [] : [inode]
  })
}

function linkOf(file: string): string {
  try {
    return fs.readlinkSync(file)
  } catch {
    return '' // closed meanwhile
  }
}

async function freePort(): Promise<number> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** The first so many to be fulfilled. */
function firstOf<T>(promises: readonly Promise<T>[], count: number): Promise<T[]> {
  return new Promise((resolve, reject) => {
    const values: T[] = []
    for (const promise of promises) {
      promise.then((value) => {
        if (values.push(value) === count) resolve(values)
      }, reject)
    }
  })
}

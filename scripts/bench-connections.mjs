/**
 * What a connection costs, beside nginx: the first answer of many clients who connect at once while others are
 * busy, answers per second with one request per connection, and the anonymous memory of each one that is idle.
 *
 *   npm run build && node scripts/bench-connections.mjs [--rounds 5] [--clients 1000] [--busy 200] [--idle 2000]
 *     [--workers 1,2]
 *
 * Needs nginx and wrk on PATH, and two CPUs: servers are pinned to CPU 0, clients to CPU 1 (without taskset
 * nothing is pinned). Rounds are interleaved, and medians are printed. Workers share CPU 0: two of them show
 * what the sharing of the port costs, not what a second CPU gains.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { freePort } from './processes.mjs'
import { median } from './statistics.mjs'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    clients: { type: 'string', default: '1000' },
    busy: { type: 'string', default: '200' },
    idle: { type: 'string', default: '2000' },
    workers: { type: 'string', default: '1,2' },
    port: { type: 'string', default: '0' }
  }
})
const [rounds, clients, busy, idle, burstPort] = [
  values.rounds,
  values.clients,
  values.busy,
  values.idle,
  values.port
].map(Number)
const self = fileURLToPath(import.meta.url)
const mainFile = path.join(path.dirname(self), '..', 'dist', 'main.js')
const request = 'GET /files/file HTTP/1.1\r\nHost: x\r\nRange: bytes=0-4095\r\n\r\n'
// each server and each load for so long
const seconds = 2

if (burstPort > 0) await burst()
else await compare()

async function compare() {
  for (const tool of ['nginx', 'wrk']) {
    if (spawnSync('which', [tool]).status !== 0) {
      console.error(`${tool} is not on PATH`)
      process.exit(1)
    }
  }
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-connections-'))
  fs.chmodSync(folder, 0o755)
  fs.mkdirSync(path.join(folder, 'files'))
  fs.writeFileSync(path.join(folder, 'files', 'file'), Buffer.alloc(2 ** 20))
  const servers = [await startNginx(folder)]
  for (const workers of values.workers.split(',')) servers.push(await startOurs(folder, workers))
  process.on('exit', () => {
    for (const { child } of servers) child.kill('SIGTERM')
    fs.rmSync(folder, { recursive: true, force: true })
  })
  const results = new Map(servers.map(({ name }) => [name, { rate: [], slowest: [], median: [] }]))
  // of processes that have nothing to give back yet
  for (const { name, port, child } of servers) {
    results.get(name).idle = await idleMemory(port, child.pid)
  }
  for (let round = 0; round <= rounds; round++) {
    for (const { name, port } of servers) {
      const rate = oneRequestPerConnection(port)
      const first = await firstAnswers(port)
      if (round === 0) continue // to warm up
      results.get(name).rate.push(rate)
      results.get(name).slowest.push(first.slowest)
      results.get(name).median.push(first.median)
    }
  }
  const reference = results.get('nginx')
  console.log(
    `| ${clients} at once beside ${busy} busy; medians of ${rounds} rounds | slowest first answer | median | one request per connection | memory per idle one |`
  )
  console.log('| --- | --- | --- | --- | --- |')
  for (const [name, result] of results) {
    const cell = (key, digits, unit) => {
      const value = median(result[key])
      return `${value.toFixed(digits)} ${unit} (${(value / median(reference[key])).toFixed(2)})`
    }
    console.log(
      `| ${name} | ${cell('slowest', 0, 'ms')} | ${cell('median', 0, 'ms')} | ${cell('rate', 0, '/s')} | ${result.idle.toFixed(1)} KiB |`
    )
  }
  process.exit(0)
}

async function startNginx(folder) {
  const port = await freePort()
  const file = path.join(folder, 'nginx.conf')
  fs.writeFileSync(
    file,
    `worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log ${folder}/nginx.log;
     events { worker_connections 16384; multi_accept on; }
     http { access_log off; keepalive_requests 1000000000; tcp_nodelay on; sendfile on;
       server { listen 127.0.0.1:${port} backlog=4096; root ${folder}; } }`
  )
  const child = start(['nginx', '-e', path.join(folder, 'nginx.log'), '-c', file])
  await untilAnswered(port)
  return { name: 'nginx', port, child }
}

async function startOurs(folder, workers) {
  const port = await freePort()
  const root = path.join(folder, 'files')
  const args = ['--root', root, '--port', `${port}`, '--workers', workers, '--log-level', 'error']
  const child = start([process.execPath, mainFile, ...args])
  await untilAnswered(port)
  return { name: `ours, ${workers} worker${workers === '1' ? '' : 's'}`, port, child }
}

function start(command) {
  const [program, ...args] = pinned(0, command)
  return spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'] })
}

function pinned(cpu, command) {
  const canPin = os.cpus().length > 1 && spawnSync('taskset', ['-c', `${cpu}`, 'true']).status === 0
  return canPin ? ['taskset', '-c', `${cpu}`, ...command] : command
}

async function untilAnswered(port) {
  for (let attempt = 0; attempt < 200; attempt++) {
    const answered = await fetch(`http://127.0.0.1:${port}/files/file`).then(
      (answer) => answer.arrayBuffer(),
      () => undefined
    )
    if (answered !== undefined) return
    await wait(50)
  }
  throw new Error(`nobody answers on port ${port}`)
}

/** @returns answers a second */
function oneRequestPerConnection(port) {
  const args = [
    '-t1',
    '-c32',
    `-d${seconds}s`,
    '-H',
    'Connection: close',
    '-H',
    'Range: bytes=0-4095'
  ]
  const url = `http://127.0.0.1:${port}/files/file`
  const [program, ...rest] = pinned(1, ['wrk', ...args, url])
  const text = execFileSync(program, rest, { encoding: 'utf8' })
  if (/Non-2xx|Socket errors/.test(text)) console.error(text)
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(text)[1])
}

/** @returns KiB of anonymous memory that each connection takes which has had an answer and waits */
async function idleMemory(port, pid) {
  const before = anonymousKiB(pid)
  const sockets = await Promise.all(
    Array.from({ length: idle }, async () => {
      const socket = net.connect(port, '127.0.0.1')
      await once(socket, 'connect')
      socket.write(request)
      for (let received = 0; received < 4096; ) received += (await once(socket, 'data'))[0].length
      return socket
    })
  )
  await wait(1000)
  const after = anonymousKiB(pid)
  for (const socket of sockets) socket.destroy()
  return (after - before) / idle
}

/** Of a process and all below it. */
function anonymousKiB(pid) {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8')
  const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')
  const own = Number(/RssAnon:\s+(\d+)/.exec(status)[1])
  return children.filter(Boolean).reduce((sum, child) => sum + anonymousKiB(child), own)
}

/** Clients of the burst are a process of their own, so that they do not wait for this one. */
async function firstAnswers(port) {
  const options = { clients, busy, port }
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`])
  const [program, ...rest] = pinned(1, [process.execPath, self, ...args])
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
  let text = ''
  child.stdout.on('data', (chunk) => {
    text += chunk
  })
  await once(child, 'close')
  return JSON.parse(text)
}

async function burst() {
  const open = []
  const connect = (whenAnswered) => {
    const socket = net.connect(burstPort, '127.0.0.1', () => socket.write(request))
    let received = 0
    let length = 0
    socket.on('data', (chunk) => {
      if (received === 0) length = chunk.indexOf('\r\n\r\n') + 4 + 4096
      received += chunk.length
      if (received < length) return
      received = 0
      whenAnswered(socket)
    })
    open.push(socket)
    return socket
  }
  for (let n = 0; n < busy; n++) connect((socket) => socket.write(request))
  await wait(500)
  const times = []
  await Promise.all(
    Array.from({ length: clients }, () => {
      const startedAt = performance.now()
      return new Promise((resolve, reject) => {
        connect(() => {
          times.push(performance.now() - startedAt)
          resolve()
        }).on('error', reject)
      })
    })
  )
  for (const socket of open) socket.destroy()
  process.stdout.write(JSON.stringify({ slowest: Math.max(...times), median: median(times) }))
}

// Tries deploy/haproxy/haproxy.cfg with a real HAProxy: three processes on loopback, each with its own copy of
// the files. Are files spread by path, does a dead replica take only its own share, does it get that back, and
// how many requests fail meanwhile?  node scripts/check-haproxy.mjs [SECONDS of load per step, 5]
// Needs haproxy on PATH (Debian: apt-get install haproxy) and a built project. Exit status 1 when a claim fails.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { claim, exitStatus, freePort, request, sleep, start, stopAll, until } from './processes.mjs'

const project = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const stepMs = Number(process.argv[2] ?? 5) * 1000
const fileCount = 300
const fileBytes = 256 * 1024
const bigBytes = 64 * 1024 * 1024
const names = Array.from({ length: fileCount }, (_, i) => `tiles/${i % 20}/${i}.bin`)
const replicas = [1, 2, 3].map((id) => ({ id, root: '', port: 0, opsPort: 0, child: undefined }))
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'check-haproxy-'))

try {
  await main()
} finally {
  stopAll()
  fs.rmSync(folder, { recursive: true, force: true })
}
process.exit(exitStatus())

async function main() {
  if (spawnSync('haproxy', ['-v']).error !== undefined) throw new Error('haproxy is not on PATH')
  makeFiles()
  for (const replica of replicas) {
    replica.port = await freePort()
    replica.opsPort = await freePort()
    await startReplica(replica)
  }
  const origin = await startHaproxy()
  await until(async () => (await whoServes(origin, names[0])) !== undefined)
  await settle(3)

  const before = await placement(origin)
  const shares = replicas.map(({ id }) => count(before, (owner) => owner === id))
  claim(
    'each replica has some of the files',
    Math.min(...shares) > 0,
    `${shares.join(', ')} of ${fileCount}`
  )
  const again = await placement(origin)
  claim(
    'a file stays where it is',
    moved(before, again).length === 0,
    `${moved(before, again).length} moved`
  )

  const tags = await Promise.all(
    replicas.map(
      async ({ port }) => (await request(`http://127.0.0.1:${port}/files/${names[0]}`)).headers.etag
    )
  )
  claim('all replicas give one ETag', new Set(tags).size === 1, tags[0])

  const victim = replicas.find(({ id }) => id === before.get('big.bin')) ?? replicas[0]
  const resumed = downloadWithResume(origin)
  const load = startLoad(origin, before)
  await sleep(stepMs)
  const quiet = load.take()
  claim(
    'no request fails while all are up',
    quiet.failed === 0,
    `${quiet.done} requests, ${Math.round((100 * quiet.atHome) / quiet.done)} % of them at the replica of their file, the others by the bound on load`
  )

  victim.child.kill('SIGKILL')
  await sleep(stepMs)
  const dying = load.take()
  // Answers that were in flight on the dead replica break off: at most one for each connection of the load.
  claim(
    'a killed replica costs only what it was sending',
    dying.failed <= load.connections,
    `${dying.failed} of ${dying.done} requests failed, replica ${victim.id} killed`
  )
  const without = await placement(origin)
  const strays = moved(before, without).filter((name) => before.get(name) !== victim.id)
  const orphans = count(before, (owner) => owner === victim.id)
  claim(
    'it takes only its own files to the others',
    strays.length === 0,
    `${moved(before, without).length} moved, ${orphans} were its own, ${strays.length} of others`
  )

  await startReplica(victim)
  await settle(3)
  load.take()
  await sleep(stepMs)
  const back = load.take()
  claim('no request fails when it comes back', back.failed === 0, `${back.done} requests`)
  const returned = moved(before, await placement(origin))
  claim(
    'and it gets its files back',
    returned.length === 0,
    `${returned.length} of ${fileCount + 1} elsewhere than before`
  )

  victim.child.kill('SIGTERM')
  await once(victim.child, 'exit')
  await sleep(stepMs / 2)
  const drained = load.take()
  claim(
    'a replica that drains costs nothing',
    drained.failed === 0,
    `${drained.failed} of ${drained.done} requests failed`
  )
  load.stop()
  const { attempts, isWhole } = await resumed
  claim(
    'a download that broke off goes on at another replica',
    isWhole,
    `${attempts} requests with If-Range`
  )
}

/** Each replica has its own copy, with the same mtime, as rsync -t would make it. */
function makeFiles() {
  const at = new Date('2024-05-01T00:00:00Z')
  for (const replica of replicas) {
    replica.root = path.join(folder, `replica-${replica.id}`)
    for (const [i, name] of [...names, 'big.bin'].entries()) {
      const file = path.join(replica.root, name)
      fs.mkdirSync(path.dirname(file), { recursive: true })
      fs.writeFileSync(file, Buffer.alloc(name === 'big.bin' ? bigBytes : fileBytes, i % 251))
      fs.utimesSync(file, at, at)
    }
  }
}

async function startReplica(replica) {
  const { root, port, opsPort } = replica
  const args = ['--root', root, '--port', `${port}`, '--ops-port', `${opsPort}`]
  replica.child = start(process.execPath, [path.join(project, 'dist/main.js'), ...args])
  await until(async () => (await request(`http://127.0.0.1:${opsPort}/readyz`))?.status === 200)
}

/** The configuration as it is delivered, but for addresses and for a header that tells who answered. */
async function startHaproxy() {
  const [port, statsPort] = [await freePort(), await freePort()]
  let text = fs.readFileSync(path.join(project, 'deploy/haproxy/haproxy.cfg'), 'utf8')
  text = text.replace('bind :8080', `bind 127.0.0.1:${port}`).replace(':8404"', `:${statsPort}"`)
  text = text.replace(/^ {2}server .*\n/gm, '').replace('check port 9464', 'check')
  const servers = replicas.map(
    ({ id, port, opsPort }) => `  server replica-${id} 127.0.0.1:${port} id ${id} port ${opsPort}\n`
  )
  const [head, backend, resolvers] = text.split(/^(?=backend replicas|resolvers system)/m)
  const whole = `${backend}  http-response set-header X-Replica %[srv_id]\n${servers.join('')}\n`
  // the same ring without the bound on load: where a file belongs, whatever else is going on
  const ring = whole
    .replace('backend replicas', 'backend ring')
    .replace(/^ {2}hash-balance.*\n/m, '')
  const choice = '  use_backend ring if { req.hdr(x-check) ring }\n  default_backend replicas'
  text = head.replace('  default_backend replicas', choice) + whole + ring + resolvers
  const file = path.join(folder, 'haproxy.cfg')
  fs.writeFileSync(file, text)
  const check = spawnSync('haproxy', ['-c', '-f', file], { encoding: 'utf8' })
  if (check.status !== 0) throw new Error(check.stderr)
  start('haproxy', ['-db', '-f', file])
  return `http://127.0.0.1:${port}`
}

async function whoServes(origin, name) {
  const answer = await request(`${origin}/files/${name}`, {
    method: 'HEAD',
    headers: { 'x-check': 'ring' }
  })
  return answer?.status === 200 ? Number(answer.headers['x-replica']) : undefined
}

/** Which replica each file belongs to. */
async function placement(origin) {
  const owners = new Map()
  for (const name of [...names, 'big.bin']) owners.set(name, await whoServes(origin, name))
  return owners
}

function moved(before, after) {
  return [...before.keys()].filter((name) => before.get(name) !== after.get(name))
}

function count(owners, holds) {
  return [...owners.values()].filter(holds).length
}

/** Random small ranges of all files, over a few connections, as fast as the answers come, but not faster than 400 a second. */
function startLoad(origin, owners) {
  const connections = 8
  let counts = { done: 0, failed: 0, atHome: 0 }
  let isStopped = false
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections })
  const loop = async () => {
    while (!isStopped) {
      const name = names[Math.floor(Math.random() * names.length)]
      const first = Math.floor(Math.random() * (fileBytes - 4096))
      const range = `bytes=${first}-${first + 4095}`
      const answer = await request(`${origin}/files/${name}`, { agent, headers: { range } })
      counts.done++
      if (Number(answer?.headers['x-replica']) === owners.get(name)) counts.atHome++
      if (answer?.status !== 206 || answer.body.length !== 4096) counts.failed++
      await sleep(20)
    }
  }
  const loops = Array.from({ length: connections }, loop)
  return {
    connections,
    take: () => {
      const taken = counts
      counts = { done: 0, failed: 0, atHome: 0 }
      return taken
    },
    stop: () => {
      isStopped = true
      void Promise.all(loops).then(() => agent.destroy())
    }
  }
}

/** A slow download of the big file that asks for the rest whenever it breaks off. */
async function downloadWithResume(origin) {
  const expected = fs.readFileSync(path.join(replicas[0].root, 'big.bin'))
  const parts = []
  let received = 0
  let etag
  let attempts = 0
  while (received < bigBytes && attempts < 50) {
    attempts++
    const headers = etag === undefined ? {} : { range: `bytes=${received}-`, 'if-range': etag }
    await new Promise((resolve) => {
      const ask = http.get(`${origin}/files/big.bin`, { agent: false, headers }, (response) => {
        if (response.statusCode !== (received === 0 ? 200 : 206)) {
          response.destroy()
          return resolve()
        }
        etag ??= response.headers.etag
        response.on('data', (chunk) => {
          parts.push(chunk)
          received += chunk.length
          // a client of some MiB a second, so that it outlasts the death of its replica
          response.pause()
          setTimeout(() => response.resume(), (chunk.length / bigBytes) * stepMs * 2)
        })
        response.on('error', () => {})
        response.on('close', resolve)
      })
      ask.on('error', () => setTimeout(resolve, 200))
    })
  }
  return { attempts, isWhole: Buffer.concat(parts).equals(expected) }
}

/** Until HAProxy's checks, one a second, have noticed. */
function settle(checks) {
  return sleep((checks + 1) * 1000)
}

/**
 * More files than are kept open and more bytes than memory, for minutes: 100,000 small files, and one of four times
 * the memory that the service may use, asked for together. Every byte of every answer is compared. What the process
 * holds (memory, descriptors, mappings) must stay level, and its event loop must not stall.
 *
 *   npm run build && node scripts/soak.mjs [MINUTES] [-- OPTIONS OF THE SERVICE]
 *
 * MINUTES: 10. $SOAK_DATA: where 1.4 GiB of files are made and removed again; a disk, not memory (load/). Needs a memory
 * cgroup of its own, so root or a delegated one. Listens on 127.0.0.1 only. Exit status 1: a claim does not hold.
 */
import fs from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { limitMemory } from '../dist/advise/memory-limit.js'
import { killAll } from '../dist/advise/processes.js'
import { startService } from '../dist/advise/service.js'
import { claim, exitStatus, sleep } from './processes.mjs'
import { median } from './statistics.mjs'

const MiB = 2 ** 20
const memoryBytes = 192 * MiB
const largeBytes = 4 * memoryBytes
const smallFiles = 100_000
const pageBytes = 4096
// of the small files, and of the large one
const clients = { small: 8, random: 4, ordered: 1, leaving: 1 }
// A garbage collection or a neighbour on the machine takes less; a wait for a disk under all this load takes more.
const stallSeconds = 0.25
// For the average of the last quarter over that of the second. Heaps breathe.
const allowed = { anonymousMiB: 16, maps: 100 }
const maxOpenFiles = 1000
// of the clients, the log, the event loop and the ops port, and files that are closed with their last answer
const otherDescriptors = 100

const [minutes, serviceOptions] = readArguments(process.argv.slice(2))
const projectFolder = path.join(path.dirname(fileURLToPath(import.meta.url)), '..')
const dataParent = process.env.SOAK_DATA ?? path.join(projectFolder, 'load')
const page = Buffer.alloc(pageBytes)
for (let at = 0; at < pageBytes; at++) page[at] = (at * 31 + (at >>> 8) * 17) & 0xff

const root = fs.mkdtempSync(path.join(dataParent, 'load-data-soak-'))
let server
let limit
process.once('exit', () => {
  killAll()
  fs.rmSync(root, { recursive: true, force: true })
  limit?.remove()
})
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

console.log(
  `making ${smallFiles.toLocaleString('en')} small files and one of ${largeBytes / MiB} MiB`
)
makeFiles()
limit = limitMemory(memoryBytes, 'soak')
const ownOptions = ['--max-open-files', `${maxOpenFiles}`]
server = await startService('soak', [...ownOptions, ...serviceOptions], { root, workers: 1, limit })

const seen = { answers: 0, bytes: 0, wrong: 0, failed: 0, problems: new Set() }
const endMs = performance.now() + minutes * 60_000
const loads = Object.entries(clients).flatMap(([kind, count]) =>
  Array.from({ length: count }, (_, index) => load(kind, index + 1))
)
const samples = await watch()
await Promise.all(loads)
const isAlive = await isAnswering()
await server.stop()
judge()
process.exit(exitStatus())

function readArguments(words) {
  const dashes = words.indexOf('--')
  const own = dashes === -1 ? words : words.slice(0, dashes)
  const value = Number(own[0] ?? 10)
  if (own.length > 1 || !(value > 0 && value <= 24 * 60)) {
    console.error('usage: node scripts/soak.mjs [MINUTES] [-- OPTIONS OF THE SERVICE]')
    process.exit(2)
  }
  return [value, dashes === -1 ? [] : words.slice(dashes + 1)]
}

/** Bytes [start, end) of a file: each page has the number of the file and its own, so that no two are alike. */
function contentOf(file, start, end) {
  const first = Math.floor(start / pageBytes)
  const last = Math.ceil(end / pageBytes)
  const bytes = Buffer.allocUnsafe((last - first) * pageBytes)
  for (let index = first; index < last; index++) {
    const at = (index - first) * pageBytes
    page.copy(bytes, at)
    bytes.writeUInt32LE(file, at)
    bytes.writeUInt32LE(index, at + 4)
  }
  return bytes.subarray(start - first * pageBytes, end - first * pageBytes)
}

// the large file has the number 0
function smallSize(file) {
  return 1000 + ((file * 37) % 7000)
}

function smallName(file) {
  return `small/${file % 100}/${file}`
}

function makeFiles() {
  for (let folder = 0; folder < 100; folder++) {
    fs.mkdirSync(path.join(root, 'small', `${folder}`), { recursive: true })
  }
  const old = new Date(Date.now() - 3_600_000)
  for (let file = 1; file <= smallFiles; file++) {
    const name = path.join(root, smallName(file))
    fs.writeFileSync(name, contentOf(file, 0, smallSize(file)))
    fs.utimesSync(name, old, old)
  }
  const large = fs.openSync(path.join(root, 'large'), 'w')
  for (let at = 0; at < largeBytes; at += 8 * MiB) {
    fs.writeSync(large, contentOf(0, at, at + 8 * MiB))
  }
  fs.fsyncSync(large)
  fs.futimesSync(large, old, old)
  fs.closeSync(large)
}

/** One client on a connection of its own, until the time is over. */
async function load(kind, seed) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  let state = seed * 7919
  // a linear congruential generator: the same files and ranges in each run
  const random = (count) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * count)
  }
  for (let turn = 0; performance.now() < endMs; turn++) {
    if (kind === 'small') {
      const file = 1 + random(smallFiles)
      await compare(agent, smallName(file), file, 0, smallSize(file))
    } else if (kind === 'random') {
      const length = 1 + random(2 * 65_536)
      const start = random(largeBytes - length)
      await compare(agent, 'large', 0, start, start + length)
    } else if (kind === 'ordered') {
      const start = (turn * MiB) % largeBytes
      await compare(agent, 'large', 0, start, start + MiB)
    } else {
      // begins to read the rest of the file, and leaves after some MiB
      const start = random(largeBytes / 2)
      await compare(false, 'large', 0, start, largeBytes, MiB * (1 + random(8)))
    }
  }
  agent.destroy()
}

/** @param leaveAfter bytes of the body; undefined: the client stays to the end */
function compare(agent, name, file, start, end, leaveAfter = Number.POSITIVE_INFINITY) {
  const headers = { range: `bytes=${start}-${end - 1}` }
  return new Promise((resolve) => {
    let hasLeft = false
    const fail = (why) => {
      if (hasLeft) return
      seen.failed++
      seen.problems.add(why)
      resolve()
    }
    const request = http.get(`${server.filesUrl}${name}`, { agent, headers, timeout: 30_000 })
    request.on('timeout', () => request.destroy(new Error('no answer within 30 s')))
    request.on('error', ({ message }) => fail(message))
    request.on('response', (response) => {
      let at = start
      response.on('data', (chunk) => {
        if (hasLeft) return
        if (!chunk.equals(contentOf(file, at, at + chunk.length))) seen.wrong++
        at += chunk.length
        seen.bytes += chunk.length
        if (at - start < leaveAfter) return
        hasLeft = true
        seen.answers++
        request.destroy()
        resolve()
      })
      response.on('error', () => {})
      response.on('close', () => {
        if (hasLeft) return
        if (response.statusCode !== 206) return fail(`status ${response.statusCode}`)
        if (at !== end) return fail('the answer broke off')
        seen.answers++
        resolve()
      })
    })
  })
}

function isAnswering() {
  return fetch(`${server.filesUrl}large`, { method: 'HEAD', signal: AbortSignal.timeout(10_000) })
    .then(({ status }) => status === 200)
    .catch(() => false)
}

async function watch() {
  const taken = []
  const everyMs = Math.max(2000, (minutes * 60_000) / 24)
  const title = [
    'second',
    'answers/s',
    'MB/s',
    'anon MiB',
    'fds',
    'maps',
    'lag p99 ms',
    'lag max ms'
  ]
  console.log([...title, 'major faults'].map((text) => text.padStart(13)).join(''))
  const beganMs = performance.now()
  let before = { ...seen, atMs: beganMs }
  while (performance.now() + everyMs <= endMs + 100) {
    await sleep(everyMs)
    const sample = await look(before, beganMs)
    if (sample === undefined) break
    taken.push(sample)
    before = { ...seen, atMs: performance.now() }
    const { shown } = sample
    console.log(shown.map((value) => value.toFixed(0).padStart(13)).join(''))
  }
  return taken
}

/** @returns undefined: the service is gone */
async function look(before, beganMs) {
  const folder = `/proc/${server.pid}`
  const metrics = await fetch(server.metricsUrl, { signal: AbortSignal.timeout(10_000) })
    .then((answer) => answer.text())
    .catch(() => undefined)
  if (metrics === undefined) return undefined
  const metric = (name) =>
    Number(
      metrics
        .split('\n')
        .find((line) => line.startsWith(`${name} `))
        ?.slice(name.length)
    )
  const status = fs.readFileSync(`${folder}/status`, 'utf8')
  const anonymousMiB = Number(/^RssAnon:\s+(\d+)/m.exec(status)?.[1]) / 1024
  const descriptors = fs.readdirSync(`${folder}/fd`).length
  const maps = fs.readFileSync(`${folder}/maps`, 'utf8').split('\n').length - 1
  const lagSeconds = metric('nodejs_eventloop_lag_max_seconds')
  const seconds = (performance.now() - before.atMs) / 1000
  return {
    anonymousMiB,
    descriptors,
    maps,
    lagSeconds,
    shown: [
      (performance.now() - beganMs) / 1000,
      (seen.answers - before.answers) / seconds,
      (seen.bytes - before.bytes) / 1e6 / seconds,
      anonymousMiB,
      descriptors,
      maps,
      metric('nodejs_eventloop_lag_p99_seconds') * 1000,
      lagSeconds * 1000,
      metric('event_loop_page_faults_total{kind="major"}')
    ]
  }
}

function judge() {
  const { answers, bytes, wrong, failed, problems } = seen
  console.log(
    `${answers.toLocaleString('en')} answers, ${Math.round(bytes / 1e6).toLocaleString('en')} MB`
  )
  claim('the service lives to the end', isAlive)
  claim('no byte is wrong', wrong === 0, `${wrong} pieces`)
  claim('no answer fails', failed === 0, `${failed} ${[...problems].join(', ')}`)
  const quarter = Math.floor(samples.length / 4)
  for (const [name, most] of Object.entries(allowed)) {
    const values = samples.map((sample) => sample[name])
    const early = median(values.slice(quarter, 2 * quarter))
    const late = median(values.slice(-quarter))
    const growth = late - early
    claim(`${name} stays level`, growth <= most, `${early.toFixed(0)}, then ${late.toFixed(0)}`)
  }
  const most = Math.max(...samples.map(({ descriptors }) => descriptors))
  claim('descriptors stay within --max-open-files', most <= maxOpenFiles + otherDescriptors, most)
  const longest = Math.max(...samples.map(({ lagSeconds }) => lagSeconds))
  claim(
    'the event loop does not stall',
    longest < stallSeconds,
    `${(longest * 1000).toFixed(0)} ms at the most`
  )
}

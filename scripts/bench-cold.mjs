/**
 * A cold file of 1 GiB, read once by one client, beside dd(1) on the same file: seconds of each mode and of dd in turn,
 * and the speed as a share of dd's in the same round. Beside it another client asks for 4 KiB in memory every 5 ms:
 * its p99 while the file is read, and while nothing is. How much of the file is in memory half a second after a client
 * has read its first MiB and left.
 *
 *   npm run build && node scripts/bench-cold.mjs [--rounds 5] [--data load]
 *
 * Makes its file in the folder, which should be on a disk, and removes it. Needs fincore(1) and dd(1).
 */
import { execFileSync } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { dropFromMemory } from '../dist/advise/cache.js'
import { killAll } from '../dist/advise/processes.js'
import { startService } from '../dist/advise/service.js'
import { sleep } from './processes.mjs'
import { median } from './statistics.mjs'

const MiB = 2 ** 20
const fileBytes = 1024 * MiB
const modes = ['mmap', 'read']
const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    data: { type: 'string', default: path.join(fileURLToPath(import.meta.url), '../../load') }
  }
})
const root = fs.mkdtempSync(path.join(values.data, 'load-data-cold-'))
process.once('exit', () => {
  killAll()
  fs.rmSync(root, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
const large = path.join(root, 'large')
makeFiles()

const rounds = []
for (let round = 0; round < Number(values.rounds); round++) {
  const figures = { dd: await secondsOfDd() }
  const order = round % 2 === 0 ? modes : [...modes].reverse()
  for (const mode of order) figures[mode] = await measure(mode)
  rounds.push(figures)
}
tell()

function makeFiles() {
  fs.writeFileSync(path.join(root, 'hot'), randomFillSync(Buffer.alloc(MiB)))
  const fd = fs.openSync(large, 'w')
  const bytes = randomFillSync(Buffer.alloc(8 * MiB))
  for (let at = 0; at < fileBytes; at += bytes.length) fs.writeSync(fd, bytes)
  fs.fsyncSync(fd)
  fs.closeSync(fd)
  const old = new Date(Date.now() - 3_600_000)
  for (const name of ['hot', 'large']) fs.utimesSync(path.join(root, name), old, old)
}

async function drop() {
  await dropFromMemory(large)
  if (residentBytes() > 0) throw new Error('the file cannot be put out of memory here')
}

function residentBytes() {
  const words = ['--bytes', '--noheadings', '--output', 'RES', large]
  return Number(execFileSync('fincore', words, { encoding: 'utf8' }))
}

async function secondsOfDd() {
  await drop()
  const startedAtMs = performance.now()
  execFileSync('dd', [`if=${large}`, 'of=/dev/null', 'bs=1M', 'status=none'])
  return (performance.now() - startedAtMs) / 1000
}

async function measure(mode) {
  await drop()
  // of its own, because what a process has mapped cannot be dropped
  let server = await startService(mode, ['--mode', mode], { root })
  const alone = await p99Until(server, sleep(1000))
  const startedAtMs = performance.now()
  let seconds
  const whole = read(server, fileBytes).then(() => {
    seconds = (performance.now() - startedAtMs) / 1000
  })
  const beside = await p99Until(server, whole)
  await server.stop()
  await drop()
  server = await startService(mode, ['--mode', mode], { root })
  await read(server, MiB)
  await sleep(500)
  const afterOneMiB = residentBytes() / MiB
  await server.stop()
  return { seconds, alone, beside, afterOneMiB }
}

/** The file, until so many bytes of it came. */
function read({ filesUrl }, wantedBytes) {
  return new Promise((resolve, reject) => {
    const request = http.get(`${filesUrl}large`, { agent: false }, (response) => {
      let bytes = 0
      response.on('data', (chunk) => {
        bytes += chunk.length
        if (bytes < wantedBytes) return
        if (wantedBytes < fileBytes) request.destroy()
        resolve()
      })
      response.on('error', reject)
    })
    request.on('error', reject)
  })
}

/** @returns of the latencies of a client that asks for 4 KiB in memory, until `end` is settled, in ms */
async function p99Until({ filesUrl }, end) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  const headers = { range: 'bytes=0-4095' }
  const latencies = []
  let isOver = false
  void end.finally(() => {
    isOver = true
  })
  while (!isOver) {
    const startedAtMs = performance.now()
    await new Promise((resolve, reject) => {
      http
        .get(`${filesUrl}hot`, { agent, headers }, (response) =>
          response.resume().on('end', resolve)
        )
        .on('error', reject)
    })
    latencies.push(performance.now() - startedAtMs)
    await sleep(5)
  }
  await end
  agent.destroy()
  latencies.sort((a, b) => a - b)
  return latencies[Math.floor(latencies.length * 0.99)]
}

function tell() {
  console.log(`dd: ${median(rounds.map(({ dd }) => dd)).toFixed(2)} s, median of ${rounds.length}`)
  for (const mode of modes) {
    const of = (pick) => median(rounds.map((round) => pick(round[mode], round.dd)))
    const seconds = of((figures) => figures.seconds).toFixed(2)
    const share = of((figures, dd) => dd / figures.seconds).toFixed(2)
    const [alone, beside] = ['alone', 'beside'].map((name) =>
      of((figures) => figures[name]).toFixed(2)
    )
    const afterOneMiB = of((figures) => figures.afterOneMiB).toFixed(1)
    console.log(
      `${mode}: ${seconds} s, ${share} of the speed of dd; hot client p99 ${alone} ms alone, ${beside} ms beside it; ${afterOneMiB} MiB in memory after the first`
    )
  }
}

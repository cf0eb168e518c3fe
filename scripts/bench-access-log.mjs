/**
 * What `--access-log on` costs: requests a second and CPU for each, without the log and with it to several outputs, for
 * random ranges of one file that is in memory. Does each answer have its line, or was the line counted as dropped?
 *
 *   npm run build && node scripts/bench-access-log.mjs [--rounds 5] [--seconds 2] [--connections 32] [--bytes 4096]
 *
 * Needs wrk on PATH, and two CPUs: the service is pinned to CPU 0, wrk to CPU 1 (without taskset nothing is pinned).
 * Rounds are interleaved; medians are printed. The CPU is that of the whole process of the service (proc(5), stat), until
 * its last line is written. Exit status 1 when lines are missing.
 */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { claim, exitStatus, freePort, request, sleep, start, stopAll, until } from './processes.mjs'
import { median } from './statistics.mjs'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    connections: { type: 'string', default: '32' },
    bytes: { type: 'string', default: '4096' },
    // of the process that reads the slow pipe, which this script starts itself
    'read-slowly': { type: 'boolean', default: false }
  }
})
const bytes = Number(values.bytes)
// of the lines that tell of the load
const mark = '"path":"/files/file"'
const project = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const folder = values['read-slowly']
  ? ''
  : fs.mkdtempSync(path.join(os.tmpdir(), 'bench-access-log-'))
const fileBytes = 64 * 2 ** 20
const slowPipe = 'a pipe that is read at 1 MiB/s'
// what reads a pipe, and says at its end how many lines of the access log it has read
const readers = {
  'a pipe': ['grep', '-cF', mark],
  [slowPipe]: [process.execPath, fileURLToPath(import.meta.url), '--read-slowly']
}
// USER_HZ, the unit of proc(5)
const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))

if (values['read-slowly']) {
  readSlowly()
} else {
  try {
    await main()
  } finally {
    stopAll()
    fs.rmSync(folder, { recursive: true, force: true })
  }
  process.exit(exitStatus())
}

async function main() {
  if (spawnSync('wrk', ['--version']).error !== undefined) throw new Error('wrk is not on PATH')
  const root = path.join(folder, 'root')
  fs.mkdirSync(root)
  fs.writeFileSync(path.join(root, 'file'), Buffer.alloc(fileBytes, 'range'))
  const old = new Date(Date.now() - 3_600_000)
  fs.utimesSync(path.join(root, 'file'), old, old)
  const script = path.join(folder, 'wrk.lua')
  fs.writeFileSync(script, lua())

  const services = []
  for (const [accessLog, output] of [
    ['off', '/dev/null'],
    ['on', '/dev/null'],
    ['on', path.join(folder, 'log')],
    ['on', 'a pipe'],
    ['on', slowPipe]
  ]) {
    const service = await startService(root, accessLog, output)
    services.push({ rates: [], cpu: [], ...service })
  }
  for (let round = 0; round <= Number(values.rounds); round++) {
    for (const service of services) {
      const seen = await load(service, script)
      if (round === 0) continue // to warm up
      service.rates.push(seen.rate)
      service.cpu.push(seen.cpu)
    }
  }
  await report(services)
}

/** @param output a file, or a kind of pipe */
async function startService(root, accessLog, output) {
  const [port, opsPort] = [await freePort(), await freePort()]
  const words = [path.join(project, 'dist/main.js'), '--root', root, '--access-log', accessLog]
  words.push('--port', `${port}`, '--ops-port', `${opsPort}`, '--log-level', 'info')
  const lines = output in readers ? pipeTo(readers[output]) : undefined
  const stdout = lines?.fd ?? fs.openSync(output, 'a')
  const child = start(process.execPath, words, { stdio: ['ignore', stdout, 'inherit'] })
  // who reads the pipe sees its end when the service ends
  fs.closeSync(stdout)
  await until(async () => (await request(`http://127.0.0.1:${opsPort}/readyz`))?.status === 200)
  if (canPin()) execFileSync('taskset', ['-a', '-c', '-p', '0', `${child.pid}`])
  return { child, port, opsPort, output, lines, isLogging: accessLog === 'on', answers: 0 }
}

/** @returns the end to write to of a pipe(7), and what its reader says when the other end is closed */
function pipeTo([command, ...words]) {
  const fifo = path.join(folder, `pipe-${Math.random()}`)
  execFileSync('mkfifo', [fifo])
  // for reading too, so that opening it does not wait
  const both = fs.openSync(fifo, 'r+')
  const stdin = fs.openSync(fifo, 'r')
  const fd = fs.openSync(fifo, 'w')
  const reader = start(command, words, { stdio: [stdin, 'pipe', 'inherit'] })
  for (const each of [both, stdin]) fs.closeSync(each)
  return { fd, said: text(reader.stdout) }
}

/** Reads standard input, 64 KiB sixteen times a second, and then says how many lines of the access log it has read. */
function readSlowly() {
  const chunk = Buffer.alloc(2 ** 16)
  const clock = new Int32Array(new SharedArrayBuffer(4))
  let count = 0
  // of a mark that the end of a chunk cuts
  let begun = ''
  for (;;) {
    const length = fs.readSync(0, chunk)
    if (length === 0) break
    const seen = begun + chunk.latin1Slice(0, length)
    count += seen.split(mark).length - 1
    begun = seen.slice(1 - mark.length)
    Atomics.wait(clock, 0, 0, 1000 / 16)
  }
  console.log(count)
}

/** @returns answers a second, and the CPU time of one in microseconds */
async function load(service, script) {
  const { child, port } = service
  const before = cpuOf(child.pid)
  const words = ['wrk', '-t1', `-c${values.connections}`, `-d${values.seconds}s`, '-s', script]
  const all = [...(canPin() ? ['taskset', '-c', '1'] : []), ...words]
  const url = `http://127.0.0.1:${port}/files/file`
  const said = execFileSync(all[0], [...all.slice(1), url], { encoding: 'utf8' })
  assert.doesNotMatch(said, /Non-2xx|Socket errors/)
  // until what waits is written
  await sleep(300)
  const answers = Number(/(\d+) requests in/.exec(said)[1])
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(said)[1])
  return { rate, cpu: (cpuOf(child.pid) - before) / answers }
}

/** @returns microseconds, of all threads */
function cpuOf(pid) {
  const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
  const [user, system] = stat.slice(stat.lastIndexOf(')')).split(' ').slice(12, 14).map(Number)
  return ((user + system) / ticksPerSecond) * 1e6
}

async function report(services) {
  const [off] = services
  console.log(
    `Node ${process.versions.node}, ${os.cpus()[0].model}, ${values.connections} connections, ranges of ${bytes} bytes; medians of ${values.rounds} rounds of ${values.seconds} s\n\n` +
      '| output | answers a second | less than off | CPU µs an answer | more than off | lines dropped |\n' +
      '| --- | ---: | ---: | ---: | ---: | ---: |'
  )
  for (const service of services) {
    const [rate, cpu] = [median(service.rates), median(service.cpu)]
    const less = `${(100 * (1 - rate / median(off.rates))).toFixed(1)} %`
    const more = `${(100 * (cpu / median(off.cpu) - 1)).toFixed(1)} %`
    const { answers, dropped } = await countsOf(service.opsPort)
    Object.assign(service, { answers, dropped })
    const share = service.isLogging ? `${((100 * dropped) / answers).toFixed(1)} %` : ''
    const name = service === off ? 'off' : service.output
    const cells = [Math.round(rate), service === off ? '' : less, cpu.toFixed(2)]
    console.log(`| ${[name, ...cells, service === off ? '' : more, share].join(' | ')} |`)
  }
  console.log('')
  for (const service of services.filter(({ isLogging }) => isLogging)) await checkLines(service)
}

/** Each answer has a line, or is counted as dropped. */
async function checkLines({ child, output, lines, answers, dropped }) {
  if (output === '/dev/null') return
  // what waits is 4 MiB at the most
  if (output === slowPipe) await sleep(6000)
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
  const log = lines === undefined ? fs.readFileSync(output, 'latin1') : undefined
  const written = log === undefined ? Number(await lines.said) : log.split(mark).length - 1
  claim(
    `to ${output}: ${answers} answers, ${written} lines, ${dropped} dropped`,
    written + dropped === answers
  )
}

async function countsOf(opsPort) {
  const metrics = (await request(`http://127.0.0.1:${opsPort}/metrics`)).body.toString()
  const sum = (pattern) =>
    [...metrics.matchAll(pattern)].reduce((total, [, count]) => total + Number(count), 0)
  return {
    answers: sum(/^http_request_duration_seconds_count\{.*route="\/files\/\*".*\} (\d+)$/gm),
    dropped: sum(/^log_lines_dropped_total (\d+)$/gm)
  }
}

function lua() {
  return `math.randomseed(1)
local fields = {
  ['User-Agent'] = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
  Referer = 'https://maps.example/world.html'
}
request = function()
  local start = math.random(0, ${fileBytes - bytes})
  fields.Range = 'bytes=' .. start .. '-' .. (start + ${bytes} - 1)
  return wrk.format('GET', nil, fields)
end
`
}

function canPin() {
  return os.cpus().length > 1 && spawnSync('taskset', ['-c', '1', 'true']).status === 0
}

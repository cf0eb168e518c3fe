/**
 * What the plugin gains against @fastify/static: one app has both, each with a prefix of its own, and serves random
 * ranges of one file that is in memory.
 *
 *   npm run build && node scripts/bench-plugin.mjs [--rounds 5] [--connections 32] [--bytes 4096,65536,1048576]
 *
 * Needs wrk on PATH, and two CPUs: the app is pinned to CPU 0, wrk to CPU 1 (without taskset nothing is pinned).
 * Rounds are interleaved; medians are printed. The CPU is that of the app's process, with its thread pool.
 */
import assert from 'node:assert/strict'
import { execFileSync, fork, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { median } from './statistics.mjs'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '32' },
    bytes: { type: 'string', default: '4096,65536,1048576' },
    // of the process with the app, which this script starts itself
    serve: { type: 'string' }
  }
})
const self = fileURLToPath(import.meta.url)
const project = path.dirname(path.dirname(self))
const fileBytes = 64 * 2 ** 20
// each load for so long
const seconds = 2
const prefixes = { 'mmap-range-server': '/mapped/', '@fastify/static': '/static/' }

if (values.serve === undefined) await compare()
else await serve(values.serve)

/** The app. It tells its port, and then on each message the CPU time it has used, in microseconds. */
async function serve(root) {
  const load = createRequire(path.join(project, 'load', 'package.json'))
  const { mmapRanges } = createRequire(self)('mmap-range-server')
  const app = load('fastify')()
  await app.register(mmapRanges, { root, prefix: prefixes['mmap-range-server'] })
  await app.register(load('@fastify/static'), { root, prefix: prefixes['@fastify/static'] })
  await app.listen({ host: '127.0.0.1', port: 0 })
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send(user + system)
  })
  process.on('disconnect', () => process.exit(0))
  process.send(app.server.address().port)
}

async function compare() {
  if (spawnSync('wrk', ['--version']).error !== undefined) {
    console.error('wrk is not on PATH')
    process.exit(1)
  }
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'bench-plugin-'))
  process.on('exit', () => fs.rmSync(folder, { recursive: true }))
  const content = randomBytes(fileBytes)
  fs.writeFileSync(path.join(folder, 'file'), content)
  const app = fork(self, ['--serve', folder], { env: { ...process.env, UV_THREADPOOL_SIZE: '32' } })
  const origin = `http://127.0.0.1:${(await once(app, 'message'))[0]}`
  if (canPin()) execFileSync('taskset', ['-a', '-c', '-p', '0', `${app.pid}`])
  console.log(
    `Node ${process.versions.node}, ${os.cpus()[0].model}, ${values.connections} connections; medians of ${values.rounds} rounds\n\n` +
      '| range | answers a second: mapped | @fastify/static | ratio | CPU µs an answer: mapped | @fastify/static | ratio |\n' +
      '| --- | ---: | ---: | ---: | ---: | ---: | ---: |'
  )
  for (const bytes of values.bytes.split(',').map(Number)) {
    const script = path.join(folder, `${bytes}.lua`)
    fs.writeFileSync(script, luaFor(bytes))
    const results = Object.values(prefixes).map((prefix) => ({ prefix, rate: [], cpu: [] }))
    for (let round = 0; round <= Number(values.rounds); round++) {
      for (const { prefix, rate, cpu } of results) {
        await checkAnswer(`${origin}${prefix}file`, content, bytes)
        const seen = await ask(app, `${origin}${prefix}file`, script)
        if (round === 0) continue // to warm up
        rate.push(seen.rate)
        cpu.push(seen.cpu)
      }
    }
    const [mapped, other] = results.map(({ rate, cpu }) => [median(rate), median(cpu)])
    const cells = [0, 1].flatMap((i) => {
      const digits = i === 0 ? 0 : 1
      const ratio = mapped[i] / other[i]
      return [mapped[i].toFixed(digits), other[i].toFixed(digits), ratio.toFixed(2)]
    })
    console.log(`| ${bytes / 1024} KiB | ${cells.join(' | ')} |`)
  }
  app.disconnect()
}

async function checkAnswer(url, content, bytes) {
  const start = Math.floor(Math.random() * (fileBytes - bytes))
  const answer = await fetch(url, { headers: { range: `bytes=${start}-${start + bytes - 1}` } })
  assert.equal(answer.status, 206)
  const body = Buffer.from(await answer.arrayBuffer())
  assert.ok(body.equals(content.subarray(start, start + bytes)), `wrong bytes of ${url}`)
}

/** @returns answers a second, and the CPU time of one in microseconds */
async function ask(app, url, script) {
  const before = await cpuOf(app)
  const words = ['wrk', '-t1', `-c${values.connections}`, `-d${seconds}s`, '-s', script, url]
  const [program, ...rest] = canPin() ? ['taskset', '-c', '1', ...words] : words
  const text = execFileSync(program, rest, { encoding: 'utf8' })
  assert.doesNotMatch(text, /Non-2xx|Socket errors/)
  const answers = Number(/(\d+) requests in/.exec(text)[1])
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(text)[1])
  return { rate, cpu: ((await cpuOf(app)) - before) / answers }
}

async function cpuOf(app) {
  app.send('cpu')
  return (await once(app, 'message'))[0]
}

function luaFor(bytes) {
  return `math.randomseed(1)
request = function()
  local start = math.random(0, ${fileBytes - bytes})
  return wrk.format('GET', nil, { Range = 'bytes=' .. start .. '-' .. (start + ${bytes} - 1) })
end
`
}

function canPin() {
  return os.cpus().length > 1 && spawnSync('taskset', ['-c', '1', 'true']).status === 0
}

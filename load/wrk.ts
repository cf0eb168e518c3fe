/** The load generator against another one, wrk, on the same server: how much of a figure is the generator's. */
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { readAll } from '#src/advise/cache.ts'
import { LeftOut } from '#src/advise/left-out.ts'
import type { Mode } from '#src/advise/modes.ts'
import { onLoadCpu } from '#src/advise/processes.ts'
import { type Data, fileOf, nameOf } from './data.ts'
import { generate } from './generate.ts'
import type { Scenario } from './scenarios.ts'
import { startServer } from './servers.ts'
import type { TrialSettings } from './trial.ts'

/** Requests per second and latencies that the two saw, one after the other, of one server. */
export interface GeneratorCheck {
  readonly scenario: string
  readonly mode: string
  readonly round: number
  readonly requestsPerSecond: number
  readonly wrkRequestsPerSecond: number
  readonly p50Ms: number
  readonly wrkP50Ms: number
  readonly generatorCpuShare: number
  readonly wrkCpuShare: number
}

/** What wrk can ask for as the load generator does: random ranges of one size, as fast as they are answered. */
export function isForWrk({ load, cache, file, background, workers }: Scenario): boolean {
  const isPlain = background === undefined && workers === undefined && load.rate === undefined
  return isPlain && cache === 'hot' && file === 'main' && load.pattern === 'uniform'
}

/** @throws LeftOut where wrk is not installed */
export async function checkGenerator(
  scenario: Scenario,
  mode: Mode,
  data: Data,
  { seconds, seed, round }: TrialSettings
): Promise<GeneratorCheck> {
  const file = fileOf(data, 'main')
  await readAll(file)
  const server = await startServer(mode, { root: data.root, workers: undefined, limit: undefined })
  try {
    const url = server.filesUrl + nameOf('main')
    const fileBytes = data.bytes.main
    const job = {
      url,
      fileBytes,
      file,
      smallFiles: undefined,
      warmUp: undefined,
      isSampled: false,
      load: scenario.load,
      seconds,
      seed
    }
    const run = {
      own: async () => generate(job),
      wrk: async () => runWrk(url, scenario, fileBytes, seconds)
    }
    // wrk counts from its first request on, when the server's code is not compiled yet
    await generate({ ...job, seconds: 0 })
    // each is first in every other round
    const early = round % 2 === 0 ? await run.own() : undefined
    const wrk = await run.wrk()
    const own = early ?? (await run.own())
    return {
      scenario: scenario.name,
      mode: mode.name,
      round,
      requestsPerSecond: own.requests / own.seconds,
      p50Ms: own.latencyMicroseconds.p50 / 1000,
      generatorCpuShare: own.generatorCpuShare,
      ...wrk
    }
  } finally {
    await server.stop()
  }
}

// wrk -s: each request asks for another slot of the file; at the end a line of figures
const script = `
local slots, length = tonumber(os.getenv('SLOTS')), tonumber(os.getenv('RANGE_BYTES'))
request = function()
  local first = math.random(0, slots - 1) * length
  return wrk.format('GET', nil, { range = 'bytes=' .. first .. '-' .. (first + length - 1) })
end
done = function(summary, latency)
  print(string.format('figures %d %d %d', summary.requests, summary.duration, latency:percentile(50)))
end
`

async function runWrk(url: string, scenario: Scenario, fileBytes: number, seconds: number) {
  const { connections, rangeBytes } = scenario.load
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'range-load-'))
  const file = path.join(folder, 'ranges.lua')
  fs.writeFileSync(file, script)
  const wrk = ['wrk', '-t1', `-c${connections}`, `-d${seconds}s`, '-s', file, url] as const
  const [program, ...args] = onLoadCpu(wrk)
  const env = {
    ...process.env,
    SLOTS: `${Math.max(1, Math.floor(fileBytes / rangeBytes))}`,
    RANGE_BYTES: `${rangeBytes}`
  }
  try {
    // sh tells the CPU time of what it ran: times, in minutes and seconds, the second line is that of children
    const { stdout } = await promisify(execFile)(
      'sh',
      ['-c', '"$@"; times', program, program, ...args],
      {
        env
      }
    )
    return figures(stdout, seconds)
  } catch (error) {
    const { code } = error as { code?: string | number }
    throw new LeftOut('wrk', `it is not installed, or does not run here (${code ?? 'unknown'})`)
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

function figures(output: string, seconds: number) {
  const [, requests, microseconds, p50] = /^figures (\d+) (\d+) (\d+)$/m.exec(output) ?? []
  const times = /(\d+)m([\d.]+)s (\d+)m([\d.]+)s\s*$/.exec(output.trimEnd()) ?? []
  if (requests === undefined) throw new LeftOut('wrk', 'its output is not understood')
  const [userMinutes = 0, userSeconds = 0, systemMinutes = 0, systemSeconds = 0] = times
    .slice(1)
    .map(Number)
  return {
    wrkRequestsPerSecond: Number(requests) / (Number(microseconds) / 1e6),
    wrkP50Ms: Number(p50) / 1000,
    wrkCpuShare: (60 * (userMinutes + systemMinutes) + userSeconds + systemSeconds) / seconds
  }
}

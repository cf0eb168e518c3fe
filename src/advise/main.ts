/** `advise`: whether files should be served from mappings, by what they are and by an experiment. */
import { pageBytes } from '../config/page-size.ts'
import { MiB } from '../config/values.ts'
import { type Pieces, rangeField, requests as requestsOf } from './access.ts'
import { type ColdShare, coldShareOf, curveOf } from './cold-share.ts'
import { type FileFacts, factsOf, folderOf, type ServedFolder } from './files.ts'
import { judge } from './judge.ts'
import { LeftOut } from './left-out.ts'
import { memoryOf } from './memory.ts'
import type { Mode } from './modes.ts'
import { type AdviseOptions, adviseHelp, readAdviseOptions, UsageError } from './options.ts'
import { killAll, pinning } from './processes.ts'
import { type Finding, recommend } from './recommend.ts'
import { type Advice, tellAdvice } from './tell.ts'
import { type Request, readTrace } from './trace.ts'
import { type AdviseTrial, advisedModes, runTrial, type State, type TrialPlan } from './trials.ts'

/** of the service: what is sent between two looks at the residency */
const windowBytes = MiB

/** What one trial goes through; of a longer trace the last of it. */
const mostReplayed = 50_000

// of a pattern
const patternRequests = 20_000
const patternSeed = 1

/** @returns the status with which the process must exit */
export async function advise(argv: readonly string[]): Promise<number> {
  try {
    const options = readAdviseOptions(argv)
    if (options === undefined) process.stdout.write(`${adviseHelp}\n`)
    else await run(options)
    return 0
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    return error instanceof UsageError ? 2 : 1
  }
}

async function run(options: AdviseOptions): Promise<void> {
  const files = await Promise.all(options.files.map(factsOf))
  const trace = await traceOf(options, files)
  const accesses = trace.requests.flatMap(({ file, pieces }) =>
    rangesOf(pieces, (files[file] as FileFacts).sizeBytes).map((range) => ({ file, ...range }))
  )
  const coldShare = coldShareOf(accesses, windowBytes, pageBytes)
  const memory = memoryOf()
  const memoryBytes = options.memoryBytes ?? memory.availableBytes
  const { trials, notes } = await measureAll(options, files, trace.requests, memoryBytes)
  const findings = findingsOf(trials)
  const advice: Advice = {
    files,
    machine: { ...memory, cpus: pinning },
    trace: {
      source: options.log === undefined ? `pattern ${options.pattern}` : 'log',
      requests: trace.requests.length,
      others: trace.others,
      unknown: trace.unknown,
      windows: coldShare.windows,
      footprintBytes: coldShare.footprintBytes
    },
    memoryBytes,
    coldShare: coldShare.at(memoryBytes),
    firstTouches: coldShare.firstTouches,
    curve: curve(coldShare, memoryBytes),
    trials,
    findings,
    notes,
    recommendation: recommend({
      files,
      steadyColdShare: coldShare.steadyAt(memoryBytes),
      findings
    })
  }
  const text = options.isJson ? JSON.stringify(advice, undefined, 2) : tellAdvice(advice)
  process.stdout.write(`${text}\n`)
}

function curve(coldShare: ColdShare, memoryBytes: number) {
  const points = curveOf(coldShare)
  const asked = { memoryBytes, share: coldShare.at(memoryBytes) }
  const isInside = memoryBytes <= (points.at(-1)?.memoryBytes ?? 0)
  const all = isInside
    ? [...points.filter((each) => each.memoryBytes !== memoryBytes), asked]
    : points
  return all.sort((a, b) => a.memoryBytes - b.memoryBytes)
}

/** @throws Error in words for the user */
async function traceOf(options: AdviseOptions, files: readonly FileFacts[]) {
  if (options.log === undefined) {
    return { requests: patternTrace(options, files), others: 0, unknown: 0 }
  }
  const logged = files.map(({ path, sizeBytes }) => ({ path, size: sizeBytes }))
  const trace = await readTrace(options.log, logged)
  if (trace.requests.length > 0) return trace
  const { others, unknown } = trace
  throw new UsageError(
    `--requests: no line is a request of these files (${others} ask for other files or got no bytes, ${unknown} are in no known form: JSON with "path" and "range", or nginx with "$http_range")`
  )
}

function patternTrace(
  { pattern, rangeBytes }: AdviseOptions,
  files: readonly FileFacts[]
): Request[] {
  const wanted = files.map(({ sizeBytes }, index) =>
    requestsOf({ pattern, rangeBytes }, sizeBytes, patternSeed + index)
  )
  return Array.from({ length: patternRequests }, (_, i) => {
    const file = i % files.length
    return { file, pieces: (wanted[file] as (typeof wanted)[number]).next().value }
  })
}

function rangesOf(pieces: Pieces, size: number): { start: number; end: number }[] {
  if (pieces.length === 0) return [{ start: 0, end: size }]
  return pieces.map(([start, length]) => ({ start, end: start + length }))
}

async function measureAll(
  options: AdviseOptions,
  files: readonly FileFacts[],
  requests: readonly Request[],
  memoryBytes: number
): Promise<{ trials: AdviseTrial[]; notes: string[] }> {
  const folder = folderOf(options.files)
  const end = (signal: NodeJS.Signals) => {
    cleanUp(folder)
    process.exit(signal === 'SIGINT' ? 130 : 143)
  }
  // not once: npm passes on the Ctrl-C that the terminal has sent already
  process.on('SIGINT', end).on('SIGTERM', end)
  try {
    return await measureIn(folder, options, files, requests, memoryBytes)
  } finally {
    process.off('SIGINT', end).off('SIGTERM', end)
    cleanUp(folder)
  }
}

function cleanUp(folder: ServedFolder): void {
  killAll()
  folder.remove()
}

async function measureIn(
  folder: ServedFolder,
  options: AdviseOptions,
  files: readonly FileFacts[],
  requests: readonly Request[],
  memoryBytes: number
): Promise<{ trials: AdviseTrial[]; notes: string[] }> {
  const allBytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  const notes: string[] = []
  if (!folder.isPrivate) {
    notes.push('the files cannot be linked: their whole folder was served on 127.0.0.1 meanwhile')
  }
  const states: State[] = []
  if (allBytes <= memoryBytes) states.push('in memory')
  else notes.push('the files do not fit into the memory: not measured in memory')
  if (!options.keepsCache) states.push('cold')
  if (states.length === 0)
    throw new Error('nothing can be measured: without --keep-cache, cold trials can')
  let plan: TrialPlan = {
    files: options.files,
    folder,
    requests: requests
      .slice(-mostReplayed)
      .map(({ file, pieces }) => [file, rangeField(pieces)] as const),
    connections: options.connections,
    seconds: options.seconds,
    limitBytes: options.memoryBytes
  }
  const modes = advisedModes()
  const trials: AdviseTrial[] = []
  const total = options.rounds * states.length * modes.length
  let done = 0
  for (let round = 0; round < options.rounds; round++) {
    for (const state of states) {
      // another one begins each time: what drifts in the machine hits all
      for (const index of modes.keys()) {
        const mode = modes[(index + round) % modes.length] as Mode
        process.stderr.write(`${++done}/${total}  ${state}, ${mode.name}\n`)
        try {
          trials.push(await runTrial(mode, state, round, plan))
        } catch (error) {
          if (!(error instanceof LeftOut) || plan.limitBytes === undefined) throw error
          notes.push(`cold trials without a memory limit: ${error.message}`)
          plan = { ...plan, limitBytes: undefined }
          trials.push(await runTrial(mode, state, round, plan))
        }
      }
    }
  }
  return { trials, notes: [...notes, ...doubts(trials)] }
}

/** What makes figures doubtful. */
function doubts(trials: readonly AdviseTrial[]): string[] {
  const inMemory = trials.filter(({ state }) => state === 'in memory')
  const left = inMemory.filter(
    ({ residentShareBefore, residentShareAfter }) =>
      residentShareBefore !== 1 || residentShareAfter !== 1
  )
  const failures = trials.reduce((sum, trial) => sum + trial.failures, 0)
  return [
    ...(left.length === 0
      ? []
      : [
          `${left.length} of ${inMemory.length} trials in memory without proof of it, before and after`
        ]),
    ...(failures === 0 ? [] : [`${failures} requests failed`])
  ]
}

function findingsOf(trials: readonly AdviseTrial[]): Finding[] {
  const states = [...new Set(trials.map(({ state }) => state))]
  return states.flatMap((state) => {
    const own = trials.filter((trial) => trial.state === state)
    const sideOf = (name: string) => ({ name, figures: own.filter(({ mode }) => mode === name) })
    const others = [...new Set(own.map(({ mode }) => mode))].filter((mode) => mode !== 'mmap')
    // what the question is about comes first
    others.sort((a, b) => Number(b === 'read') - Number(a === 'read'))
    return others.map((other) => ({
      state,
      other,
      ...judge(sideOf('mmap'), sideOf(other), false)
    }))
  })
}

/** Medians over rounds, their spread, and what the rounds say about each pair of modes. */
import { median } from '#src/advise/averages.ts'
import { type Figures, type Judgement, judge } from '#src/advise/judge.ts'
import { type Comparison, comparePairs } from '#src/advise/statistics.ts'
import type { Trial } from './trial.ts'

/** One mode under one scenario: medians over the rounds. Undefined: this server does not tell. */
export interface Row {
  readonly mode: string
  readonly requestsPerSecond: number
  /** lowest and highest of the rounds */
  readonly requestsPerSecondRange: readonly [low: number, high: number]
  /** highest less lowest of the rounds, as a share of the median */
  readonly spread: number
  /** of requests per second, to the first mode in the same round */
  readonly toFirst: Comparison
  readonly megabytesPerSecond: number
  readonly latencyMs: Trial['result']['latencyMicroseconds']
  readonly p99MsRange: readonly [low: number, high: number]
  readonly cpuMicroseconds: number | undefined
  readonly cpuMicrosecondsRange: readonly [low: number, high: number] | undefined
  /** of the process that made the load, as a share of one CPU */
  readonly generatorCpuShare: number
  readonly majorFaults: number | undefined
  readonly eventLoopMajorFaults: number | undefined
  readonly blockInputMegabytes: number | undefined
  readonly mappedShare: number | undefined
  readonly contextSwitchesPerRequest: number | undefined
  /** of the whole machine */
  readonly tlbShootdownsPerSecond: number | undefined
  readonly eventLoopDelayP99Ms: number | undefined
  readonly anonymousMegabytes: number | undefined
  readonly failures: number
}

/** The rows of one scenario, in the order in which modes were given. */
export function rowsOf(trials: readonly Trial[], scenario: string): Row[] {
  const all = trials.filter((trial) => trial.scenario === scenario)
  // the first round begins with the first mode
  const modes = [...new Set(all.map(({ mode }) => mode))]
  return modes.map((mode) => rowOf(all, mode, modes[0] as string))
}

function rowOf(all: readonly Trial[], mode: string, first: string): Row {
  const own = all.filter((trial) => trial.mode === mode)
  const of = (pick: (trial: Trial) => number) => median(own.map(pick))
  const valuesOf = (pick: (trial: Trial) => number | undefined) =>
    own.map(pick).filter((value) => value !== undefined)
  const known = (pick: (trial: Trial) => number | undefined): number | undefined => {
    const values = valuesOf(pick)
    return values.length === 0 ? undefined : median(values)
  }
  const rates = own.map(rateOf)
  const cpu = valuesOf(cpuOf)
  const names = Object.keys(own[0]?.result.latencyMicroseconds ?? {}) as (keyof Row['latencyMs'])[]
  return {
    mode,
    requestsPerSecond: median(rates),
    requestsPerSecondRange: rangeOf(rates),
    spread: (Math.max(...rates) - Math.min(...rates)) / median(rates),
    toFirst: comparePairs(ratePairs(all, mode, first)),
    megabytesPerSecond: of(({ result }) => result.bytes / result.seconds) / 1e6,
    latencyMs: Object.fromEntries(
      names.map((name) => [name, of(({ result }) => result.latencyMicroseconds[name]) / 1000])
    ) as Row['latencyMs'],
    p99MsRange: rangeOf(own.map(p99Of)),
    cpuMicroseconds: known(cpuOf),
    cpuMicrosecondsRange: cpu.length === 0 ? undefined : rangeOf(cpu),
    generatorCpuShare: of(({ result }) => result.generatorCpuShare),
    majorFaults: known(({ used }) => used.majorFaults),
    eventLoopMajorFaults: known(({ used }) => used.eventLoopMajorFaults),
    blockInputMegabytes: known(({ used }) => scaled(used.blockInputBytes, 1e6)),
    mappedShare: known(({ used: { mappedBodyBytes, readBodyBytes } }) =>
      mappedBodyBytes === undefined || readBodyBytes === undefined
        ? undefined
        : mappedBodyBytes / Math.max(1, mappedBodyBytes + readBodyBytes)
    ),
    contextSwitchesPerRequest: known(({ used, result }) =>
      scaled(used.contextSwitches, Math.max(1, result.requestsWithWarmUp))
    ),
    tlbShootdownsPerSecond: known(({ used, result }) =>
      scaled(used.tlbShootdowns, result.secondsWithWarmUp)
    ),
    eventLoopDelayP99Ms: known(({ used }) => scaled(used.eventLoopDelayP99Level, 1e-3)),
    anonymousMegabytes: known(({ used }) => scaled(used.anonymousMemoryLevel, 1e6)),
    failures: own.reduce((sum, { result }) => sum + result.failures, 0)
  }
}

function scaled(value: number | undefined, by: number): number | undefined {
  return value === undefined ? undefined : value / by
}

function rangeOf(values: readonly number[]): [number, number] {
  return [Math.min(...values), Math.max(...values)]
}

export function rateOf({ result }: Trial): number {
  return result.requests / result.seconds
}

export function p99Of({ result }: Trial): number {
  return result.requests === 0 ? Number.NaN : result.latencyMicroseconds.p99 / 1000
}

/** µs of CPU time of the server for each request. */
export function cpuOf({ used, result }: Trial): number | undefined {
  if (used.userCpuSeconds === undefined || used.systemCpuSeconds === undefined) return undefined
  const seconds = used.userCpuSeconds + used.systemCpuSeconds
  return (seconds * 1e6) / Math.max(1, result.requestsWithWarmUp)
}

/** Requests per second of the two modes, for each round in which both were measured. */
function ratePairs(all: readonly Trial[], mode: string, other: string): [number, number][] {
  const trialsOf = (name: string) => all.filter((trial) => trial.mode === name)
  return trialsOf(mode).flatMap((trial) => {
    const pair = trialsOf(other).find(({ round }) => round === trial.round)
    return pair === undefined ? [] : [[rateOf(trial), rateOf(pair)] as [number, number]]
  })
}

export interface Verdict extends Judgement {
  readonly scenario: string
  readonly first: string
  readonly second: string
}

/**
 * The first mode against each other one; `read`, which is what the question is about, comes first.
 * @param isPaced requests come at a fixed rate, so that only their latency can differ
 */
export function verdictsOf(
  trials: readonly Trial[],
  scenario: string,
  isPaced: boolean
): Verdict[] {
  const all = trials.filter((trial) => trial.scenario === scenario)
  const [first, ...others] = [...new Set(all.map(({ mode }) => mode))]
  if (first === undefined) return []
  const sideOf = (name: string) => ({
    name,
    figures: all.filter(({ mode }) => mode === name).map(figuresOf)
  })
  const ordered = [...others].sort((a, b) => Number(b === 'read') - Number(a === 'read'))
  return ordered.map((second) => ({
    scenario,
    first,
    second,
    ...judge(sideOf(first), sideOf(second), isPaced)
  }))
}

function figuresOf(trial: Trial): Figures {
  return {
    round: trial.round,
    requestsPerSecond: rateOf(trial),
    p99Ms: p99Of(trial),
    cpuMicroseconds: cpuOf(trial),
    generatorCpuShare: trial.result.generatorCpuShare
  }
}

/** What else differs between the modes by a factor of two at least, and explains something. */
export function explanations(rows: readonly Row[]): string[] {
  const told = explaining.flatMap(([title, pick, floor]) => {
    const values = rows.map((row) => [row.mode, pick(row)] as const)
    const numbers = values.map(([, value]) => value).filter((value) => value !== undefined)
    const [low, high] = rangeOf(numbers)
    if (numbers.length < 2 || high < floor || high < 2 * low) return []
    const parts = values
      .filter(([, value]) => value !== undefined)
      .map(([mode, value]) => `${mode} ${shown(value as number)}`)
    return [`${title}: ${parts.join(', ')}`]
  })
  return told
}

/** Name, figure, and from which value on it is worth a line. */
const explaining: readonly (readonly [string, (row: Row) => number | undefined, number])[] = [
  ['major page faults of the event loop', (row) => row.eventLoopMajorFaults, 10],
  ['TLB shootdowns a second', (row) => row.tlbShootdownsPerSecond, 1000],
  ['context switches for each request', (row) => row.contextSwitchesPerRequest, 0.5],
  ['delay of the event loop, p99, ms', (row) => row.eventLoopDelayP99Ms, 20],
  ['anonymous memory, MB', (row) => row.anonymousMegabytes, 100]
]

function shown(value: number): string {
  return value.toLocaleString('en', { maximumSignificantDigits: 3 })
}

/** Medians over rounds, their spread, and ratios within each round. */
import type { Trial } from './trial.ts'

/** One mode under one scenario: medians over the rounds. Undefined: this server does not tell. */
export interface Row {
  readonly mode: string
  readonly requestsPerSecond: number
  /** highest less lowest of the rounds, as a share of the median */
  readonly spread: number
  /** the median of the ratios to the first mode in the same round */
  readonly ratioToFirst: number
  readonly megabytesPerSecond: number
  readonly latencyMs: Trial['result']['latencyMicroseconds']
  readonly cpuMicroseconds: number | undefined
  readonly majorFaults: number | undefined
  readonly eventLoopMajorFaults: number | undefined
  readonly blockInputMegabytes: number | undefined
  readonly mappedShare: number | undefined
  readonly failures: number
}

/** @returns NaN of none */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
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
  const known = (pick: (trial: Trial) => number | undefined): number | undefined => {
    const values = own.map(pick).filter((value) => value !== undefined)
    return values.length === 0 ? undefined : median(values)
  }
  const rates = own.map(rate)
  const ratios = own.flatMap((trial) => {
    const base = all.find((other) => other.mode === first && other.round === trial.round)
    return base === undefined ? [] : [rate(trial) / rate(base)]
  })
  const names = Object.keys(own[0]?.result.latencyMicroseconds ?? {}) as (keyof Row['latencyMs'])[]
  return {
    mode,
    requestsPerSecond: median(rates),
    spread: (Math.max(...rates) - Math.min(...rates)) / median(rates),
    ratioToFirst: median(ratios),
    megabytesPerSecond: of(({ result }) => result.bytes / result.seconds) / 1e6,
    latencyMs: Object.fromEntries(
      names.map((name) => [name, of(({ result }) => result.latencyMicroseconds[name]) / 1000])
    ) as Row['latencyMs'],
    cpuMicroseconds: known(({ used, result }) =>
      used.userCpuSeconds === undefined || used.systemCpuSeconds === undefined
        ? undefined
        : ((used.userCpuSeconds + used.systemCpuSeconds) * 1e6) /
          Math.max(1, result.requestsWithWarmUp)
    ),
    majorFaults: known(({ used }) => used.majorFaults),
    eventLoopMajorFaults: known(({ used }) => used.eventLoopMajorFaults),
    blockInputMegabytes: known(({ used }) =>
      used.blockInputBytes === undefined ? undefined : used.blockInputBytes / 1e6
    ),
    mappedShare: known(({ used: { mappedBodyBytes, readBodyBytes } }) =>
      mappedBodyBytes === undefined || readBodyBytes === undefined
        ? undefined
        : mappedBodyBytes / Math.max(1, mappedBodyBytes + readBodyBytes)
    ),
    failures: own.reduce((sum, { result }) => sum + result.failures, 0)
  }
}

function rate({ result }: Trial): number {
  return result.requests / result.seconds
}

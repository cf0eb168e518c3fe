/** From trials to what is shown: medians, spread, and ratios within each round. */
import type { LoadResult } from './generator.ts'
import type { Snapshot } from './service.ts'

export interface Trial {
  readonly scenario: string
  readonly mode: string
  readonly round: number
  /** resident share of the file before; undefined: the kernel is not believed */
  readonly residentShareBefore: number | undefined
  readonly isStateProved: boolean
  readonly result: LoadResult
  /** what grew during the trial; memory is as it was at its end */
  readonly used: Snapshot
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

const header =
  'scenario    mode            req/s    spread     MB/s   p50 ms   p99 ms p99.9 ms   max ms  cpu us  loop majflt  input MB  mapped  : mmap'

/** One line for each scenario and mode: medians over the rounds. */
export function table(trials: readonly Trial[]): string {
  const lines = [header]
  let last = ''
  for (const { scenario, mode, own } of grouped(trials)) {
    const of = (pick: (trial: Trial) => number) => median(own.map(pick))
    const rates = own.map(rate)
    const spread = (Math.max(...rates) - Math.min(...rates)) / median(rates)
    const ms = (name: keyof LoadResult['latencyMicroseconds']) =>
      (of(({ result }) => result.latencyMicroseconds[name]) / 1000).toFixed(2)
    const ratios = own.flatMap((trial) => {
      const base = trials.find(
        (other) =>
          other.mode === 'mmap' && other.scenario === scenario && other.round === trial.round
      )
      return base === undefined ? [] : [rate(trial) / rate(base)]
    })
    if (last !== '' && last !== scenario) lines.push('')
    lines.push(
      [
        (last === scenario ? '' : scenario).padEnd(11),
        mode.padEnd(14),
        of(rate).toFixed(0).padStart(6),
        `±${(spread * 50).toFixed(0)} %`.padStart(9),
        (of(({ result }) => result.bytes / result.seconds) / 1e6).toFixed(0).padStart(8),
        ms('p50').padStart(8),
        ms('p99').padStart(8),
        ms('p999').padStart(8),
        ms('max').padStart(8),
        of(cpuMicroseconds).toFixed(0).padStart(7),
        of(({ used }) => used.eventLoopMajorFaults)
          .toFixed(0)
          .padStart(12),
        (of(({ used }) => used.blockInputBytes) / 1e6).toFixed(0).padStart(9),
        `${(of(mappedShare) * 100).toFixed(0)} %`.padStart(7),
        (ratios.length === 0 ? '-' : median(ratios).toFixed(2)).padStart(7)
      ].join(' ')
    )
    last = scenario
  }
  return lines.join('\n')
}

function grouped(trials: readonly Trial[]) {
  const keys = new Set(trials.map(({ scenario, mode }) => `${scenario} ${mode}`))
  const groups = [...keys].map((key) => {
    const [scenario, mode] = key.split(' ') as [string, string]
    const own = trials.filter((trial) => trial.scenario === scenario && trial.mode === mode)
    return { scenario, mode, own }
  })
  const order = [...new Set(trials.map(({ scenario }) => scenario))]
  return groups.sort((a, b) => order.indexOf(a.scenario) - order.indexOf(b.scenario))
}

function rate({ result }: Trial): number {
  return result.requests / result.seconds
}

function cpuMicroseconds({ used, result }: Trial): number {
  return ((used.userCpuSeconds + used.systemCpuSeconds) * 1e6) / Math.max(1, result.requests)
}

function mappedShare({ used }: Trial): number {
  return used.mappedBodyBytes / Math.max(1, used.mappedBodyBytes + used.readBodyBytes)
}

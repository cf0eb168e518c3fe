/** Two servers, measured in the same rounds: what of them can be compared, and the sentence about it. */
import { median } from './averages.ts'
import { type Comparison, comparePairs } from './statistics.ts'
import { type Measure, verdict } from './verdict.ts'

/** What one trial of a server gave. */
export interface Figures {
  readonly round: number
  readonly requestsPerSecond: number
  /** NaN where nothing was answered */
  readonly p99Ms: number
  /** of the server for each request; undefined: it does not tell */
  readonly cpuMicroseconds: number | undefined
  /** of the process that made the load, as a share of one CPU */
  readonly generatorCpuShare: number
}

export interface Side {
  readonly name: string
  readonly figures: readonly Figures[]
}

export interface Judgement {
  readonly measure: Measure
  readonly comparison: Comparison
  readonly sentence: string
}

/** From so much of one CPU on, the process that makes the load is what was measured. */
export const busyGenerator = 0.95

/**
 * @param first, second with figures of at least one round each
 * @param isPaced requests come at a fixed rate, so that only their latency can differ
 */
export function judge(first: Side, second: Side, isPaced: boolean): Judgement {
  const busy = [first, second].filter(isBusy).map(({ name }) => name)
  const tell = [first, second].every(({ figures }) =>
    figures.every(({ cpuMicroseconds }) => cpuMicroseconds !== undefined)
  )
  // where the load was the limit with both, only what the servers took for it can differ
  const measure = isPaced ? 'p99' : busy.length === 2 && tell ? 'cpu' : 'requests'
  const pick = picks[measure]
  const pairs = first.figures.flatMap((figures) => {
    const other = second.figures.find(({ round }) => round === figures.round)
    return other === undefined ? [] : [[pick(figures), pick(other)] as const]
  })
  const comparison = comparePairs(pairs)
  const sentence = verdict(comparison, measure, first.name, second.name)
  return { measure, comparison, sentence: sentence + doubt(measure, busy) }
}

const picks: Readonly<Record<Measure, (figures: Figures) => number>> = {
  requests: ({ requestsPerSecond }) => requestsPerSecond,
  p99: ({ p99Ms }) => p99Ms,
  cpu: ({ cpuMicroseconds }) => cpuMicroseconds ?? Number.NaN
}

function isBusy({ figures }: Side): boolean {
  return median(figures.map(({ generatorCpuShare }) => generatorCpuShare)) >= busyGenerator
}

/** What a reader must know where the load was the limit. */
function doubt(measure: Measure, busy: readonly string[]): string {
  if (busy.length === 0 || measure === 'p99') return ''
  if (measure === 'cpu') return ' (of requests per second the load generator was the limit)'
  return ` (with ${busy.join(' and ')} the load generator was the limit)`
}

/** What the harness tells the process that makes the load, and what comes back. */
import type { Load } from './scenarios.ts'

export interface Job {
  /** of the file, or of the folder of small files, with a slash at the end */
  readonly url: string
  readonly fileBytes: number
  /** small files in that folder, of which each request asks for one; undefined: it is one file */
  readonly smallFiles: number | undefined
  /** the same on this machine, to compare with; undefined: only lengths are compared */
  readonly file: string | undefined
  /** whether answers are sampled and compared; to compare what is to stay cold would warm it */
  readonly isSampled: boolean
  readonly load: Load
  /** of a load that asks for each range once: a file in memory for the warm-up, which must not touch the other */
  readonly warmUp: { readonly url: string; readonly fileBytes: number } | undefined
  /** at the most, where each range is asked for once */
  readonly seconds: number
  readonly seed: number
}

/** Of the time after the warm-up, where nothing else is said. */
export interface LoadResult {
  readonly requests: number
  readonly bytes: number
  readonly seconds: number
  /** with those of the warm-up: what the server's counters saw */
  readonly requestsWithWarmUp: number
  readonly bytesWithWarmUp: number
  readonly secondsWithWarmUp: number
  readonly failures: number
  /** of the process that made the load, as a share of one CPU: near 1, it is what was measured */
  readonly generatorCpuShare: number
  readonly wrongBytes: number
  readonly samplesCompared: number
  /** with a fixed rate, a late answer also counts for the requests that it kept from being sent */
  readonly latencyMicroseconds: Record<(typeof shownPercentiles)[number][0] | 'max', number>
  /** answers in each period of `timelineMilliseconds` */
  readonly timelineRequests: readonly number[]
}

/** What the process that makes the load tells while it runs: of the last period. */
export interface Progress {
  readonly requestsPerSecond: number
  /** latencies of the whole trial so far, in `histogramBounds` of µs; the last counts what is above all of them */
  readonly histogram: readonly number[]
}

/** Upper bounds in µs, from 64 µs to 4 s, each twice the one before. */
export const histogramBounds = Array.from({ length: 17 }, (_, i) => 64 * 2 ** i)

export const timelineMilliseconds = 250

export const shownPercentiles = [
  ['p50', 50],
  ['p75', 75],
  ['p90', 90],
  ['p99', 99],
  ['p999', 99.9],
  ['p9999', 99.99]
] as const

/** A request that is not answered by then is a failure. */
export const timeoutSeconds = 60

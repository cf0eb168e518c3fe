/** From totals, as events bring them, to what happened in each second. */
import type { LiveEvent, Totals } from '../src/metrics/live-types.ts'

/** Points that are kept: a few minutes. */
export const keptPoints = 300

/** One value for each name of a chart's line, at one time; null: nothing to measure. */
export type Point = Readonly<Record<string, number | null>>

// A longer gap is shown as a gap, not as a mean.
const longestGapMs = 5000

export class Series {
  readonly times: number[] = []
  readonly points: Point[] = []
  #last: LiveEvent | undefined

  /** @returns whether there is a new point */
  add(event: LiveEvent): boolean {
    const last = this.#last
    this.#last = event
    // the service was started again: its totals began at 0
    if (last === undefined || last.about.startedAt !== event.about.startedAt) return false
    const elapsedMs = event.at - last.at
    if (elapsedMs <= 0) return false
    const time = event.at / 1000
    if (elapsedMs > longestGapMs) this.#push(last.at / 1000 + 1, {})
    this.#push(time, elapsedMs > longestGapMs ? {} : pointOf(last.totals, event, elapsedMs / 1000))
    return true
  }

  #push(time: number, point: Point): void {
    this.times.push(time)
    this.points.push(point)
    if (this.times.length <= keptPoints) return
    this.times.shift()
    this.points.shift()
  }
}

function pointOf(before: Totals, { totals, eventLoopDelayMs, about }: LiveEvent, s: number): Point {
  const rate = (read: (totals: Totals) => number) => Math.max(0, read(totals) - read(before)) / s
  const quantile = (source: 'mapped' | 'read', share: number) => {
    const counts = totals.firstByte[source].map(
      (count, i) => count - (before.firstByte[source][i] ?? 0)
    )
    const seconds = quantileOf(counts, about.firstByteBounds, share)
    return seconds === null ? null : seconds * 1000
  }
  return {
    mapped: rate(({ answers }) => answers.mapped),
    read: rate(({ answers }) => answers.read),
    mixed: rate(({ answers }) => answers.mixed),
    none: rate(({ answers }) => answers.none),
    mappedP50: quantile('mapped', 0.5),
    mappedP99: quantile('mapped', 0.99),
    readP50: quantile('read', 0.5),
    readP99: quantile('read', 0.99),
    loopMinor: rate(({ eventLoopFaults }) => eventLoopFaults.minor),
    loopMajor: rate(({ eventLoopFaults }) => eventLoopFaults.major),
    processMinor: rate(({ processFaults }) => processFaults.minor),
    processMajor: rate(({ processFaults }) => processFaults.major),
    blockInput: rate(({ blockInputBytes }) => blockInputBytes),
    loopDelay: eventLoopDelayMs,
    mappedBytes: rate(({ bodyBytes }) => bodyBytes.mapped),
    readBytes: rate(({ bodyBytes }) => bodyBytes.read),
    resident: rate(({ checks }) => checks.resident),
    cold: rate(({ checks }) => checks.cold),
    unknown: rate(({ checks }) => checks.unknown),
    shed: rate(({ shed }) => shed),
    aborted: rate(({ aborted }) => aborted)
  }
}

/**
 * Estimated within a bucket as Prometheus does: as if its observations were spread evenly.
 * @param counts of each bucket, and beyond the last bound
 * @param share 0 to 1
 * @returns in the bounds' unit; null when nothing was observed
 */
export function quantileOf(
  counts: readonly number[],
  bounds: readonly number[],
  share: number
): number | null {
  const total = counts.reduce((sum, count) => sum + count, 0)
  if (total <= 0) return null
  let left = share * total
  for (const [i, count] of counts.entries()) {
    const bound = bounds[i]
    if (bound === undefined) break
    if (left <= count && count > 0) {
      const from = bounds[i - 1] ?? 0
      return from + ((bound - from) * left) / count
    }
    left -= count
  }
  return bounds.at(-1) ?? null
}

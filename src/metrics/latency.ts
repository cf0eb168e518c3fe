/**
 * Latency histograms that cost an increment per observation. prom-client's own hash their labels each time,
 * which is too slow for two histograms per small hot answer; the registry accepts any object that gives its values.
 */
import type { MetricValueWithName } from 'prom-client'

/** Upper bounds in seconds: from what a small hot range takes to what a slow disk or client takes. */
export const latencyBounds = [
  0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5,
  5, 10, 30, 60
] as const

export interface Exemplar {
  readonly labelSet: Readonly<Record<string, string>>
  readonly value: number
  /** seconds since the epoch */
  readonly timestamp: number
}

/** A histogram as one process tells it to another: without the text that each bucket has for a scraper. */
export interface LatencyReport {
  readonly name: string
  readonly help: string
  readonly type: 'histogram'
  readonly series: readonly {
    readonly labels: Readonly<Record<string, string>>
    /** one for each bound of `latencyBounds` and one beyond; not cumulative */
    readonly counts: readonly number[]
    /** seconds */
    readonly sum: number
  }[]
}

export class LatencyHistogram {
  readonly name: string
  readonly help: string
  readonly type = 'histogram'
  readonly #series = new Map<string, LatencySeries>()

  constructor(name: string, help: string) {
    this.name = name
    this.help = help
  }

  /** The series of one set of labels, made when it is first asked for; keep it where it is needed often. */
  series(labels: Readonly<Record<string, string>>): LatencySeries {
    const key = JSON.stringify(labels)
    let found = this.#series.get(key)
    if (found === undefined) {
      found = new LatencySeries(labels)
      this.#series.set(key, found)
    }
    return found
  }

  /**
   * How many observations each bucket has, of all series with these labels; not cumulative.
   * @returns one count for each bound of `latencyBounds` and one beyond
   */
  counts(labels: Readonly<Record<string, string>>): number[] {
    const wanted = Object.entries(labels)
    const total = new Array<number>(latencyBounds.length + 1).fill(0)
    for (const series of this.#series.values()) {
      if (wanted.every(([name, value]) => series.labels[name] === value)) series.addTo(total)
    }
    return total
  }

  /** @param reports of one histogram, by several processes; 1 or more */
  static sumOf(reports: readonly LatencyReport[]): LatencyHistogram {
    const { name, help } = reports[0] as LatencyReport
    const sum = new LatencyHistogram(name, help)
    for (const { series } of reports) {
      for (const each of series) sum.series(each.labels).add(each.counts, each.sum)
    }
    return sum
  }

  report(): LatencyReport {
    const series = [...this.#series.values()].map((each) => each.report())
    return { name: this.name, help: this.help, type: this.type, series }
  }

  /** What a scraper gets. */
  values() {
    const values = [...this.#series.values()].flatMap((series) => series.values(this.name))
    return { name: this.name, help: this.help, type: this.type, values, aggregator: 'sum' as const }
  }

  /** As prom-client's registry asks for it. */
  async get() {
    return this.values()
  }

  reset(): void {
    this.#series.clear()
  }
}

export class LatencySeries {
  readonly labels: Readonly<Record<string, string>>
  // one count for each bound and one beyond; not yet cumulative
  readonly #counts = new Float64Array(latencyBounds.length + 1)
  readonly #exemplars: (Exemplar | undefined)[] = []
  #sum = 0

  constructor(labels: Readonly<Record<string, string>>) {
    this.labels = labels
  }

  /** @param exemplarId names one request, to be found again in the log */
  observe(seconds: number, exemplarId?: string): void {
    let bucket = 0
    while (bucket < latencyBounds.length && seconds > (latencyBounds[bucket] as number))
      bucket++
      // a Float64Array has no holes: the index is in range
    ;(this.#counts[bucket] as number)++
    this.#sum += seconds
    if (exemplarId !== undefined) {
      const labelSet = { request_id: exemplarId }
      this.#exemplars[bucket] = { labelSet, value: seconds, timestamp: Date.now() / 1000 }
    }
  }

  /** @param counts of each bucket @param sum of what was observed, in seconds */
  add(counts: readonly number[], sum: number): void {
    for (const [bucket, count] of counts.entries()) {
      this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count
    }
    this.#sum += sum
  }

  report(): LatencyReport['series'][number] {
    return { labels: this.labels, counts: [...this.#counts], sum: this.#sum }
  }

  /** @param total counts of as many buckets, to which its own are added */
  addTo(total: number[]): void {
    for (const [bucket, count] of this.#counts.entries()) {
      total[bucket] = (total[bucket] ?? 0) + count
    }
  }

  values(name: string): MetricValueWithName<string>[] {
    const { labels } = this
    let total = 0
    const buckets = [...this.#counts].map((count, bucket) => {
      total += count
      const value = {
        metricName: `${name}_bucket`,
        labels: { ...labels, le: latencyBounds[bucket] ?? '+Inf' },
        value: total
      }
      const exemplar = this.#exemplars[bucket]
      return exemplar === undefined ? value : { ...value, exemplar }
    })
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: total }
    ]
  }
}

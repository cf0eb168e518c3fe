/** The metrics of several processes as one service's. */
import assert from 'node:assert/strict'
import type { MetricObjectWithValues, MetricValue, MetricValueWithName } from 'prom-client'
import { LatencyHistogram, type LatencyReport } from './latency.ts'

export type MetricJson = MetricObjectWithValues<MetricValue<string>>

/** What a process tells another one of a metric. Most of all that is told are the buckets of our histograms. */
export type MetricReport = MetricJson | LatencyReport

/**
 * What each worker said last. The counters and histograms of one that is gone are kept: the sum of a counter
 * never goes backwards, which Prometheus would take for a restart of the whole service.
 */
export class WorkerMetrics {
  readonly #latest = new Map<number, readonly MetricReport[]>()
  #ofTheGone: readonly MetricReport[] = []

  /** @param worker any number that no other worker has or had */
  set(worker: number, metrics: readonly MetricReport[]): void {
    this.#latest.set(worker, metrics)
  }

  /** The worker is gone: its counters stay, its gauges go. */
  end(worker: number): void {
    const last = this.#latest.get(worker) ?? []
    this.#latest.delete(worker)
    const lasting = last.filter(({ type }) => isLasting(type))
    if (lasting.length > 0) this.#ofTheGone = sumReports([this.#ofTheGone, lasting])
  }

  /** @param own metrics of the process that asks */
  total(own: readonly MetricReport[]): MetricJson[] {
    return sumMetrics([own, ...this.#latest.values(), this.#ofTheGone])
  }
}

function isLasting(type: unknown): boolean {
  return type === 'counter' || type === 'histogram'
}

/** @param processes what each of them has counted */
export function sumMetrics(processes: readonly (readonly MetricReport[])[]): MetricJson[] {
  return sumReports(processes).map((sum) => {
    // prom-client's types give each metric its class; these are its plain values
    return isLatency(sum) ? (LatencyHistogram.sumOf([sum]).values() as never) : sum
  })
}

function sumReports(processes: readonly (readonly MetricReport[])[]): MetricReport[] {
  const byName = new Map<string, MetricReport[]>()
  for (const metric of processes.flat()) {
    const same = byName.get(metric.name)
    if (same === undefined) byName.set(metric.name, [metric])
    else same.push(metric)
  }
  return [...byName.values()].map((same) =>
    // one name is one kind of metric, in every process
    isLatency(same[0] as MetricReport)
      ? LatencyHistogram.sumOf(same as LatencyReport[]).report()
      : sumOfOne(same as MetricJson[])
  )
}

function isLatency(metric: MetricReport): metric is LatencyReport {
  return 'series' in metric
}

/** Not by prom-client's AggregatorRegistry, which sorts and hashes the labels of each value. */
function sumOfOne(same: readonly MetricJson[]): MetricJson {
  const first = same[0] as MetricJson
  const combine = combinations.get(aggregatorOf(first.name) ?? first.aggregator ?? 'sum')
  assert(combine !== undefined, `no way to combine ${first.name}`)
  const values = new Map<string, MetricValueWithName<string>>()
  for (const metric of same) {
    // a histogram's values have names of their own
    for (const value of metric.values as readonly MetricValueWithName<string>[]) {
      // every process names the labels of a metric in the same order
      const key = `${value.metricName} ${JSON.stringify(value.labels)}`
      const sum = values.get(key)
      if (sum === undefined) values.set(key, { ...value })
      else sum.value = combine(sum.value, value.value)
    }
  }
  return { ...first, values: [...values.values()] }
}

const combinations: ReadonlyMap<string, (a: number, b: number) => number> = new Map([
  ['sum', (a: number, b: number) => a + b],
  ['first', (a: number) => a],
  ['max', (a: number, b: number) => Math.max(a, b)],
  ['min', (a: number, b: number) => Math.min(a, b)]
])

/** @returns undefined where what prom-client says is right, which is a sum unless it says otherwise */
function aggregatorOf(name: string): 'first' | 'max' | 'min' | undefined {
  // The mean of a stalled event loop and an idle one would hide the stall.
  if (name.startsWith('nodejs_eventloop_lag') && !name.endsWith('_min_seconds')) return 'max'
  if (name === 'range_server_info') return 'first'
  // when the service began; prom-client leaves it out
  if (name === 'process_start_time_seconds') return 'min'
  return undefined
}

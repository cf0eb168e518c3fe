/** The metrics of several processes as one service's. */
import { AggregatorRegistry, type MetricObjectWithValues, type MetricValue } from 'prom-client'

export type MetricJson = MetricObjectWithValues<MetricValue<string>>

/**
 * What each worker said last. The counters and histograms of one that is gone are kept: the sum of a counter
 * never goes backwards, which Prometheus would take for a restart of the whole service.
 */
export class WorkerMetrics {
  readonly #latest = new Map<number, readonly MetricJson[]>()
  #ofTheGone: readonly MetricJson[] = []

  /** @param worker any number that no other worker has or had */
  set(worker: number, metrics: readonly MetricJson[]): void {
    this.#latest.set(worker, metrics)
  }

  /** The worker is gone: its counters stay, its gauges go. */
  end(worker: number): void {
    const last = this.#latest.get(worker) ?? []
    this.#latest.delete(worker)
    const lasting = last.filter(({ type }) => isLasting(type))
    if (lasting.length > 0) this.#ofTheGone = sumMetrics([this.#ofTheGone, lasting])
  }

  /** @param own metrics of the process that asks */
  total(own: readonly MetricJson[]): MetricJson[] {
    return sumMetrics([own, ...this.#latest.values(), this.#ofTheGone])
  }
}

function isLasting(type: unknown): boolean {
  return type === 'counter' || type === 'histogram'
}

/** @param processes what each of them has counted */
export function sumMetrics(processes: readonly (readonly MetricJson[])[]): MetricJson[] {
  const metrics = processes.map((process) => process.map(withAggregator))
  const registry = AggregatorRegistry.aggregate(metrics as never)
  // what aggregate() makes answers synchronously, with plain values
  return registry
    .getMetricsAsArray()
    .map((metric) => (metric as unknown as { get(): MetricJson }).get())
}

function withAggregator(metric: MetricJson): MetricJson {
  const aggregator = aggregatorOf(metric.name)
  return aggregator === undefined ? metric : { ...metric, aggregator }
}

/** @returns undefined where what prom-client says is right, which is a sum unless it says otherwise */
function aggregatorOf(name: string): 'first' | 'max' | 'min' | undefined {
  // The mean of a stalled event loop and an idle one would hide the stall.
  if (name.startsWith('nodejs_eventloop_lag') && !name.endsWith('_min_seconds')) return 'max'
  if (name === 'range_server_info') return 'first'
  // when the service began; prom-client leaves it out
  if (name === 'process_start_time_seconds') return 'min'
  return undefined
}

/** Every metric of one process, and their text as a scraper asks for it. */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { Storage } from '../storage/storage.ts'
import { type FastPathCounters, registerFastPath } from './fast-path.ts'
import { LatencyHistogram } from './latency.ts'
import { registerPageFaults } from './page-faults.ts'
import { registerStorageMetrics } from './storage.ts'
import type { MetricJson, MetricReport } from './sum.ts'

export interface Metrics {
  readonly registry: Registry
  readonly duration: LatencyHistogram
  readonly firstByte: LatencyHistogram
  readonly fastPath: FastPathCounters
}

export interface MetricsInfo {
  readonly version: string
  readonly mode: string
  readonly guard: string
  /** what maps files: mmap-io, or koffi where it could not be built */
  readonly mapper: string
  /** the parent of workers does not */
  readonly servesFiles: boolean
}

// Gauges of prom-client named like counters, which linters and OpenMetrics object to; each is only the sum of
// the metric of the same name without _total.
const misnamed = ['handles', 'requests', 'resources'].map((what) => `nodejs_active_${what}_total`)

/** A registry of its own for each service, so that two in one process (tests) do not share numbers. */
export function createMetrics(storage: Storage, info: MetricsInfo): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  for (const name of misnamed) registry.removeSingleMetric(name)
  registerPageFaults(registry)
  const files = registerFileMetrics(registry, storage, info)
  const fastPath = registerFastPath(registry)
  // of several processes the sum is taken
  new Gauge({
    name: 'range_server_workers',
    help: 'Processes that serve files',
    registers: [registry]
  }).set(info.servesFiles ? 1 : 0)
  return { registry, ...files, fastPath }
}

export type FileMetrics = Pick<Metrics, 'registry' | 'duration' | 'firstByte'>

/** Those of the files alone, and not of the process: for an app that has the plugin. */
export function createFileMetrics(
  storage: Storage,
  info: Omit<MetricsInfo, 'servesFiles'>
): FileMetrics {
  const registry = new Registry()
  return { registry, ...registerFileMetrics(registry, storage, info) }
}

function registerFileMetrics(
  registry: Registry,
  storage: Storage,
  { version, mode, guard, mapper }: Omit<MetricsInfo, 'servesFiles'>
): Omit<FileMetrics, 'registry'> {
  registerStorageMetrics(registry, storage)
  const duration = new LatencyHistogram(
    'http_request_duration_seconds',
    "From the request's headers to the last byte handed to the kernel"
  )
  const firstByte = new LatencyHistogram(
    'http_time_to_first_byte_seconds',
    "From the request's headers to the first byte handed to the kernel"
  )
  // The registry asks a metric for nothing but `name`, `get` and `reset`; its type asks for a class of its own.
  registry.registerMetric(duration as never)
  registry.registerMetric(firstByte as never)
  new Gauge({
    name: 'range_server_info',
    help: 'Constant 1; what runs, in its labels',
    labelNames: ['version', 'mode', 'guard', 'mapper'],
    registers: [registry]
  }).set({ version, mode, guard, mapper }, 1)
  return { duration, firstByte }
}

/** The plain values of every metric of this process. */
export async function readMetrics({ registry }: Metrics): Promise<MetricJson[]> {
  // prom-client's types give each metric its class; what it hands out is the plain values
  return (await registry.getMetricsAsJSON()) as never
}

/** The same for another process, which sums them up. */
export function reportMetrics({ registry }: Metrics): Promise<MetricReport[]> {
  return Promise.all(
    registry.getMetricsAsArray().map(async (metric: unknown) => {
      if (metric instanceof LatencyHistogram) return metric.report()
      // prom-client's own have it, though its type does not say so
      return (metric as { get(): Promise<MetricJson> }).get()
    })
  )
}

/** @param accept the request's Accept field; OpenMetrics where it asks for that */
export async function renderMetrics(
  metrics: readonly MetricJson[],
  accept: string | undefined
): Promise<{ readonly contentType: string; readonly text: string }> {
  const wantsOpenMetrics = accept?.includes('application/openmetrics-text') === true
  const registry = new Registry()
  if (wantsOpenMetrics) registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never)
  for (const json of metrics) {
    // prom-client renames counters for OpenMetrics by their `name`: each text needs objects of its own
    const metric = { ...json, get: async () => ({ ...json, name: metric.name }), reset: () => {} }
    registry.registerMetric(metric as never)
  }
  return { contentType: registry.contentType, text: await registry.metrics() }
}

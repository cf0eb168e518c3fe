/** The sum of what several processes have counted. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import { LatencyHistogram } from '#src/metrics/latency.ts'
import { type MetricJson, sumMetrics, WorkerMetrics } from '#src/metrics/sum.ts'

// sums of powers of two are exact in any order
const latency = (seconds: number[], source = 'read') => {
  const histogram = new LatencyHistogram('latency_seconds', 'of answers')
  for (const each of seconds) histogram.series({ source }).observe(each)
  return histogram
}

it('is what prom-client would make of counters, gauges and its own metrics', async () => {
  const processes: MetricJson[][] = []
  for (const n of [1, 2, 3]) {
    const registry = new Registry()
    collectDefaultMetrics({ register: registry })
    const registers = [registry]
    const counter = new Counter({ name: 'a_total', help: 'a', labelNames: ['x', 'y'], registers })
    counter.inc({ x: 'one', y: 'two' }, n)
    counter.inc({ x: `${n}`, y: '"' }, n)
    new Gauge({ name: 'b', help: 'b', registers }).set(10 * n)
    processes.push((await registry.getMetricsAsJSON()) as never)
  }
  // where both have a rule of their own, ours is tested elsewhere
  const isPlain = ({ name }: MetricJson) => !/^nodejs_eventloop_lag|^process_start_time/.test(name)
  const theirs = AggregatorRegistry.aggregate(
    processes.map((each) => each.filter(isPlain)) as never
  )
  const wanted = theirs.getMetricsAsArray().map((metric) => {
    const { name, values } = (metric as unknown as { get(): MetricJson }).get()
    return { name, values }
  })
  const sums = sumMetrics(processes).filter(isPlain)
  assert.ok(sums.length > 15)
  assert.deepEqual(
    sums.map(({ name, values }) => ({ name, values })),
    wanted
  )
})

it('of a histogram is as if one process had seen all, and stays when a worker goes', () => {
  const workers = new WorkerMetrics()
  workers.set(1, [latency([2 ** -13, 0.25]).report()])
  workers.set(2, [latency([0.25, 100]).report(), latency([]).report()])
  const own = [latency([3], 'mapped').report()]
  const expected = latency([2 ** -13, 0.25, 0.25, 100])
  expected.series({ source: 'mapped' }).observe(3)
  const bySource = (metrics: readonly { values: readonly { labels: object }[] }[]) =>
    metrics
      .flatMap(({ values }) => values)
      .map((value) => JSON.stringify(value))
      .sort()
  const wanted = bySource([expected.values()])
  assert.deepEqual(bySource(workers.total(own) as never), wanted)
  workers.end(2)
  workers.end(1)
  workers.end(1)
  assert.deepEqual(bySource(workers.total(own) as never), wanted)
})

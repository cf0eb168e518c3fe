/** What storage has counted, read when it is scraped. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { Storage } from '../storage/storage.ts'

export function registerStorageMetrics(registry: Registry, storage: Storage): void {
  const { counters, regions, catalog } = storage
  const registers = [registry]
  new Counter({
    name: 'http_response_body_bytes_total',
    help: 'Bytes of files handed to sockets, by where they came from',
    labelNames: ['source'],
    registers,
    collect() {
      setAll(this, 'source', counters.bodyBytes)
    }
  })
  new Counter({
    name: 'residency_checks_total',
    help: 'Windows by what the kernel said of them before they were sent',
    labelNames: ['result'],
    registers,
    collect() {
      setAll(this, 'result', counters.checks)
    }
  })
  new Counter({
    name: 'region_evictions_total',
    help: 'Regions let go to stay below the limit of mapped bytes',
    registers,
    collect() {
      this.reset()
      this.inc(counters.regionEvictions)
    }
  })
  new Counter({
    name: 'mapping_failures_total',
    help: 'Regions that could not be mapped and were read instead',
    labelNames: ['reason'],
    registers,
    collect() {
      setAll(this, 'reason', Object.fromEntries(counters.mappingFailures))
    }
  })
  new Counter({
    name: 'body_failures_total',
    help: 'Answers cut before their Content-Length was reached',
    labelNames: ['reason'],
    registers,
    collect() {
      setAll(this, 'reason', Object.fromEntries(counters.bodyFailures))
    }
  })
  new Counter({
    name: 'requests_shed_total',
    help: 'Requests refused with 503 because a limit was reached',
    labelNames: ['reason'],
    registers,
    collect() {
      setAll(this, 'reason', Object.fromEntries(counters.shed))
    }
  })
  gauge('waiting_reads', 'Reads that wait for a thread', () => storage.reads.waiting)
  gauge('buffered_bytes', 'Buffers of copied windows in use', () => storage.buffers.usedBytes)
  gauge('mapped_bytes', 'Address space taken by mapped regions', () => regions.mappedBytes)
  gauge('mapped_regions', 'Mapped regions', () => regions.count)
  gauge('pinned_bytes', 'Bytes of files locked in memory', () => storage.pinned.bytes)
  gauge('open_files', 'Open files kept for the next request', () => catalog.size)

  function gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read())
      }
    })
  }
}

function setAll<Label extends string>(
  counter: Counter<Label>,
  label: Label,
  values: Readonly<Record<string, number>>
): void {
  counter.reset()
  for (const [value, count] of Object.entries(values)) {
    // TypeScript cannot see that a computed key is the label
    counter.inc({ [label]: value } as Record<Label, string>, count)
  }
}

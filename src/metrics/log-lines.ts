/** Lines of the log that nobody took in time. */
import { Counter } from 'prom-client'
import type { Metrics } from './registry.ts'

export interface LogCounts {
  dropped: number
}

export function countLogLines({ registry }: Metrics, counts: LogCounts): void {
  new Counter({
    name: 'log_lines_dropped_total',
    help: 'Lines dropped because the reader of stdout is too slow',
    registers: [registry],
    collect() {
      this.reset()
      this.inc(counts.dropped)
    }
  })
}

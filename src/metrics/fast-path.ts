/** How many requests the fast path answers, and why it gives others to node:http. */
import { Counter, type Registry } from 'prom-client'

export interface FastPathCounters {
  requests: number
  readonly handovers: Map<string, number>
}

export function registerFastPath(registry: Registry): FastPathCounters {
  const reasons = ['incomplete', 'start-line', 'path', 'field', 'syntax', 'error', 'limit']
  const counters: FastPathCounters = {
    requests: 0,
    handovers: new Map(reasons.map((reason) => [reason, 0]))
  }
  const registers = [registry]
  new Counter({
    name: 'fast_path_requests_total',
    help: 'Requests answered below node:http',
    registers,
    collect() {
      this.reset()
      this.inc(counters.requests)
    }
  })
  new Counter({
    name: 'fast_path_handovers_total',
    help: 'Connections handed over to node:http, by what came on them',
    labelNames: ['reason'],
    registers,
    collect() {
      this.reset()
      for (const [reason, count] of counters.handovers) this.inc({ reason }, count)
    }
  })
  return counters
}

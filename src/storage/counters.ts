/** Plain numbers that storage, delivery and the plugins count up; the metrics read them when they are scraped. */
export interface Counters {
  /** answers of the residency check, one per window: resident, cold, or unknown (not to be trusted) */
  readonly checks: { resident: number; cold: number; unknown: number }
  /** bytes handed to sockets, by where they came from */
  readonly bodyBytes: { mapped: number; read: number }
  /** regions let go to stay below the limit of mapped bytes */
  regionEvictions: number
  /** regions that could not be mapped and were served by read instead, by reason */
  readonly mappingFailures: Map<string, number>
  /** responses cut before their Content-Length was reached, by reason */
  readonly bodyFailures: Map<string, number>
  /** requests refused with 503 before anything was done for them, by what was at its limit */
  readonly shed: Map<string, number>
}

export function createCounters(): Counters {
  return {
    checks: { resident: 0, cold: 0, unknown: 0 },
    bodyBytes: { mapped: 0, read: 0 },
    regionEvictions: 0,
    // what is to be expected starts at 0, so that a first time is an increase to whoever watches
    mappingFailures: startAtZero('limit', 'ENOMEM', 'ENODEV'),
    bodyFailures: startAtZero('changed', 'truncated', 'read_failed', 'client_gone'),
    shed: startAtZero('connections', 'event_loop', 'reads', 'opens', 'listings')
  }
}

function startAtZero(...reasons: readonly string[]): Map<string, number> {
  return new Map(reasons.map((reason) => [reason, 0]))
}

export function countReason(reasons: Map<string, number>, reason: string): void {
  reasons.set(reason, (reasons.get(reason) ?? 0) + 1)
}

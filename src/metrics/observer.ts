/** Records an exchange when it is over: in two histograms, and as a line in the log. */
import type { Logger } from 'pino'
import type { Activity } from './activity.ts'
import type { Exchange, Source } from './exchange.ts'
import type { LatencySeries } from './latency.ts'
import type { Metrics } from './registry.ts'
import type { SlowAnswers } from './slow.ts'

export interface ObserverOptions {
  readonly metrics: Pick<Metrics, 'duration' | 'firstByte'>
  readonly log: Logger
  /** undefined: nobody will look at it, as in an app of others */
  readonly activity?: Activity
  readonly slow?: SlowAnswers
  /** exemplars name the request that a bucket saw last */
  readonly withExemplars: boolean
}

export class Observer {
  /** whether the log has a line for each answer, with its page faults: at log level debug */
  readonly logsAccess: boolean
  readonly #options: ObserverOptions
  readonly #series = new Map<string, SeriesPair>()
  // The answers of a busy moment are alike: the last one's series are nearly always the next one's.
  #last: SeriesPair | undefined
  #lastId = 0

  constructor(options: ObserverOptions) {
    this.#options = options
    this.logsAccess = options.log.isLevelEnabled('debug')
  }

  /** @param outcome `complete`, or why the answer was aborted */
  conclude(exchange: Exchange, outcome = 'complete'): void {
    exchange.isConcluded = true
    const nowMs = performance.now()
    const { startedAtMs, firstByteAtMs = nowMs, route, method, status, source } = exchange
    const series = this.#seriesOf(route, method, status, source)
    const { withExemplars } = this.#options
    const id = withExemplars || this.logsAccess ? `req-${(++this.#lastId).toString(36)}` : ''
    const exemplarId = withExemplars ? id : undefined
    series.duration.observe((nowMs - startedAtMs) / 1000, exemplarId)
    series.firstByte.observe((firstByteAtMs - startedAtMs) / 1000, exemplarId)
    const { file } = exchange
    if (file !== undefined) {
      const { activity, slow } = this.#options
      const bytes = exchange.mappedBytes + exchange.readBytes
      activity?.count(file.path, file.size, exchange.parts, bytes, nowMs)
      slow?.consider(exchange, outcome, nowMs)
    }
    if (this.logsAccess) this.#logAccess(exchange, id, outcome, nowMs)
  }

  #seriesOf(route: string, method: string, status: number, source: Source): SeriesPair {
    const last = this.#last
    if (
      last !== undefined &&
      last.status === status &&
      last.source === source &&
      last.method === method &&
      last.route === route
    ) {
      return last
    }
    const key = `${method} ${status} ${source} ${route}`
    let series = this.#series.get(key)
    if (series === undefined) {
      const { duration, firstByte } = this.#options.metrics
      const known = knownMethods.has(method) ? method : 'other'
      const labels = { method: known, route, status_code: `${status}`, source }
      series = {
        method,
        route,
        status,
        source,
        duration: duration.series(labels),
        firstByte: firstByte.series({ route, source })
      }
      if (known === method) this.#series.set(key, series)
    }
    this.#last = series
    return series
  }

  #logAccess(exchange: Exchange, reqId: string, outcome: string, nowMs: number): void {
    const { mappedBytes, readBytes } = exchange
    this.#options.log.debug(
      {
        reqId,
        method: exchange.method,
        path: exchange.target,
        status: exchange.status,
        range: exchange.range,
        bytes: mappedBytes + readBytes,
        source: exchange.source,
        residentWindows: exchange.residentWindows,
        coldWindows: exchange.coldWindows,
        minorFaults: exchange.minorFaults,
        majorFaults: exchange.majorFaults,
        ms: round(nowMs - exchange.startedAtMs),
        outcome
      },
      'access'
    )
  }
}

/** What one set of labels is observed by. */
interface SeriesPair {
  readonly method: string
  readonly route: string
  readonly status: number
  readonly source: Source
  readonly duration: LatencySeries
  readonly firstByte: LatencySeries
}

// Labels come from a closed set: a client can send any method.
const knownMethods: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'POST',
  'PUT',
  'PATCH',
  'DELETE',
  'TRACE'
])

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

/** What becomes of an exchange when it is over: two histograms, a line in the log, a note of a stall. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { Exchange, type Source } from './exchange.ts'
import type { LatencySeries } from './latency.ts'
import type { Metrics } from './registry.ts'

export interface ObserverOptions {
  readonly metrics: Metrics
  readonly log: Logger
  /** exemplars name the request that a bucket saw last */
  readonly withExemplars: boolean
}

export class Observer {
  /** whether each answer is told of in the log, with its page faults: log level debug */
  readonly logsAccess: boolean
  readonly #options: ObserverOptions
  readonly #series = new Map<string, SeriesPair>()
  // The answers of a busy moment are alike: the last one's series are nearly always the next one's.
  #last: SeriesPair | undefined

  constructor(options: ObserverOptions) {
    this.#options = options
    this.logsAccess = options.log.isLevelEnabled('debug')
  }

  /** Tell of an answer that goes by way of Fastify's reply, at its end or when its connection closes. */
  follow(request: FastifyRequest, reply: FastifyReply, exchange = new Exchange()): void {
    reply.raw.on('close', () => {
      if (exchange.isConcluded) return
      this.conclude(exchange, request.routeOptions.url ?? 'none', request, reply)
    })
  }

  /**
   * @param route the pattern, never the path: what clients send must not make labels
   * @param outcome `complete`, or why the answer was cut
   */
  conclude(
    exchange: Exchange,
    route: string,
    request: FastifyRequest,
    reply: FastifyReply,
    outcome = 'complete'
  ): void {
    const nowMs = performance.now()
    const { startedAtMs, firstByteAtMs = nowMs, source } = exchange
    const series = this.#seriesOf(route, request.raw.method ?? '', reply.raw.statusCode, source)
    const exemplarId = this.#options.withExemplars ? request.id : undefined
    series.duration.observe((nowMs - startedAtMs) / 1000, exemplarId)
    series.firstByte.observe((firstByteAtMs - startedAtMs) / 1000, exemplarId)
    if (this.logsAccess) this.#logAccess(exchange, request, reply, outcome, nowMs)
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

  #logAccess(
    exchange: Exchange,
    request: FastifyRequest,
    reply: FastifyReply,
    outcome: string,
    nowMs: number
  ): void {
    const { mappedBytes, readBytes, source, minorFaults, majorFaults } = exchange
    this.#options.log.debug(
      {
        reqId: request.id,
        method: request.method,
        path: request.raw.url,
        status: reply.raw.statusCode,
        range: request.headers.range,
        bytes: mappedBytes + readBytes,
        source,
        residentWindows: exchange.residentWindows,
        coldWindows: exchange.coldWindows,
        minorFaults,
        majorFaults,
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

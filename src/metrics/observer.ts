/** Records an exchange when it is over: in two histograms, and as a line in the log. */
import { randomBytes } from 'node:crypto'
import { requestIdOf } from '../http/request-id.ts'
import { type AccessLogger, accessMembers } from './access-line.ts'
import type { Activity } from './activity.ts'
import type { Exchange, Source } from './exchange.ts'
import type { LatencySeries } from './latency.ts'
import type { Metrics } from './registry.ts'
import type { SlowAnswers } from './slow.ts'

export interface ObserverOptions {
  readonly metrics: Pick<Metrics, 'duration' | 'firstByte'>
  readonly log: AccessLogger
  /** undefined: nobody will look at it, as in an app of others */
  readonly activity?: Activity
  readonly slow?: SlowAnswers
  /** whether each answer has a line at level info; at log level debug it has one anyway */
  readonly logsAccess: boolean
  /** where a request comes from, by the address of its socket and by its X-Forwarded-For */
  readonly addressOf: (
    socketAddress: string | undefined,
    forwardedFor: string | undefined
  ) => string | undefined
  /** exemplars name the request that a bucket saw last */
  readonly withExemplars: boolean
}

export class Observer {
  /** whether the log has a line for each answer */
  readonly logsAccess: boolean
  /** whether that line tells its page faults: at log level debug */
  readonly logsFaults: boolean
  /** of the ids made here: those of other workers and of an earlier start are different */
  readonly #idPrefix = `req-${randomBytes(4).toString('hex')}-`
  readonly #options: ObserverOptions
  readonly #series = new Map<string, SeriesPair>()
  // The answers of a busy moment are alike: the last one's series are nearly always the next one's.
  #last: SeriesPair | undefined
  #lastId = 0

  constructor(options: ObserverOptions) {
    this.#options = options
    const { log } = options
    this.logsFaults = log.isLevelEnabled('debug')
    this.logsAccess = this.logsFaults || (options.logsAccess && log.isLevelEnabled('info'))
  }

  /** Who asks, as the log will have it. @param fields by name in lower case */
  meet(exchange: Exchange, fields: ClientFields, socketAddress: string | undefined): void {
    const { 'x-request-id': id, 'x-forwarded-for': forwardedFor } = fields
    if (id !== undefined) exchange.requestId = requestIdOf(id)
    if (!this.logsAccess) return
    exchange.client = {
      address: this.#options.addressOf(socketAddress, textOf(forwardedFor)),
      userAgent: fields['user-agent'],
      referer: fields.referer
    }
  }

  /** @param outcome `complete`, or why the answer was aborted */
  conclude(exchange: Exchange, outcome = 'complete'): void {
    exchange.isConcluded = true
    const nowMs = performance.now()
    const { startedAtMs, firstByteAtMs = nowMs, route, method, status, source } = exchange
    const series = this.#seriesOf(route, method, status, source)
    const { withExemplars } = this.#options
    const isNamed = withExemplars || this.logsAccess
    const id = isNamed ? (exchange.requestId ?? this.#newId()) : ''
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

  #newId(): string {
    return this.#idPrefix + (++this.#lastId).toString(36)
  }

  #logAccess(exchange: Exchange, reqId: string, outcome: string, nowMs: number): void {
    const { log, logsAccess } = this.#options
    const { mappedBytes, readBytes, client } = exchange
    const line = {
      reqId,
      remoteAddress: client?.address,
      method: exchange.method,
      path: shortened(exchange.target),
      status: exchange.status,
      range: shortened(exchange.range),
      bytes: mappedBytes + readBytes,
      source: exchange.source,
      ms: round(nowMs - exchange.startedAtMs),
      userAgent: shortened(client?.userAgent),
      referer: shortened(client?.referer),
      outcome
    }
    if (!this.logsFaults) {
      if (log.logAccess === undefined) log.info(line, 'access')
      else log.logAccess(accessMembers(line))
      return
    }
    const { residentWindows, coldWindows, minorFaults, majorFaults } = exchange
    const faults = { residentWindows, coldWindows, minorFaults, majorFaults }
    log[logsAccess ? 'info' : 'debug']({ ...line, ...faults }, 'access')
  }
}

/** The fields that tell who asks, as node:http and the fast path give them. */
export interface ClientFields {
  readonly 'x-request-id'?: string | string[] | undefined
  readonly 'x-forwarded-for'?: string | string[] | undefined
  readonly 'user-agent'?: string | undefined
  readonly referer?: string | undefined
}

/** node:http joins repeated fields of these names; its types do not know. */
function textOf(field: string | string[] | undefined): string | undefined {
  return typeof field === 'string' ? field : field?.join(', ')
}

// So a client cannot fill a disk with the log of a few requests. A line is 2 KiB at the most, and 10 KiB of text that has to
// be escaped.
const mostCharacters = 512

function shortened<T extends string | undefined>(text: T): T | string {
  return text !== undefined && text.length > mostCharacters
    ? `${text.slice(0, mostCharacters)}\u2026`
    : text
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

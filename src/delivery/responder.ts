/** How an answer about an open file is sent, at once or window after window, and what is done when it fails. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from '../config/options.ts'
import type { BodyPart, ResponsePlan } from '../http/plan.ts'
import type { ByteRange } from '../http/range.ts'
import type { Exchange } from '../metrics/exchange.ts'
import type { Observer } from '../metrics/observer.ts'
import type { StallWatch } from '../metrics/stalls.ts'
import type { ByteSource, Window } from '../storage/byte-source.ts'
import { type Counters, countReason } from '../storage/counters.ts'
import { StorageError, systemCode } from '../storage/errors.ts'
import type { OpenFile } from '../storage/open-file.ts'
import type { Storage } from '../storage/storage.ts'
import type { Selected } from './selected.ts'
import { ClientGone, connectionFailure, sendBody } from './send-body.ts'
import { serverTiming } from './server-timing.ts'

/** A request, the open file that it is about, and the plan for it. */
export interface Answer {
  readonly exchange: Exchange
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly file: OpenFile
  readonly selected: Selected
  readonly plan: ResponsePlan
}

export interface ResponderOptions {
  /** pattern of the route, for the metrics */
  readonly route: string
  readonly config: Config
  readonly storage: Storage
  readonly log: Logger
  readonly observer: Observer
  readonly stalls: StallWatch
  readonly corsHeaders: Readonly<Record<string, string>> | undefined
}

export class Responder {
  readonly #options: ResponderOptions
  readonly #source: ByteSource
  readonly #counters: Counters
  readonly #windowBytes: number
  readonly #route: string
  /** page faults are measured only where somebody is told of them: it costs two calls for each window */
  readonly #measuresFaults: boolean

  constructor(options: ResponderOptions) {
    this.#options = options
    this.#source = options.storage.source
    this.#counters = options.storage.counters
    this.#route = options.route
    this.#windowBytes = options.config.windowBytes
    this.#measuresFaults = options.observer.logsAccess || options.config.serverTiming === 'on'
  }

  /**
   * Send a body of one window, if it can be had without waiting. Nothing happens otherwise.
   * @returns whether it was sent; the file needs no lease for it
   */
  sendAtOnce(answer: Answer): boolean {
    const range = onlyRange(answer.plan.body)
    if (range === undefined || range.end - range.start > this.#windowBytes) return false
    if (this.#measuresFaults)
      return answer.exchange.measureFaults(() => this.#tryRange(answer, range))
    return this.#tryRange(answer, range)
  }

  #tryRange(answer: Answer, range: ByteRange): boolean {
    const window = this.#source.now(answer.file, range.start, range.end)
    if (window === undefined) {
      answer.exchange.coldWindows++
      return false
    }
    if (window.bytes.length < range.end - range.start) {
      // the range crosses regions
      window.release()
      return false
    }
    answer.exchange.residentWindows++
    if (this.#measuresFaults) window.faultIn?.()
    this.#sendWindow(answer, window)
    return true
  }

  /**
   * Send an answer that may have to wait.
   * @param wasTried whether `sendAtOnce` was asked already
   * @throws StorageError when nothing was sent yet and the file failed or changed
   */
  async send(answer: Answer, wasTried: boolean): Promise<unknown> {
    const { plan, exchange } = answer
    if (plan.body.length === 0) return this.#sendHeadersOnly(answer)
    if (!wasTried && this.sendAtOnce(answer)) return answer.reply
    const range = onlyRange(plan.body)
    const isOneWindow = range !== undefined && range.end - range.start <= this.#windowBytes
    // otherwise it crosses regions
    if (isOneWindow && exchange.coldWindows > 0) return this.#sendCold(answer, range)
    await this.#sendWindows(answer)
    return answer.reply
  }

  /** A small range that is cold: read, and sent only if the file is still the one that the headers describe. */
  async #sendCold(answer: Answer, range: ByteRange): Promise<unknown> {
    const { file, reply } = answer
    const window = await this.#source.later(file, range.start, range.end, true)
    if (!(await file.hasSameContent())) {
      window.release()
      throw new StorageError('CHANGED', file.path)
    }
    this.#sendWindow(answer, window)
    return reply
  }

  #sendWindow(answer: Answer, window: Window): void {
    const { exchange, reply } = answer
    const response = reply.raw
    this.#begin(answer, window.source)
    const startedAtMs = performance.now()
    response.end(window.bytes)
    const endedAtMs = performance.now()
    exchange.firstByteAtMs = endedAtMs
    if (endedAtMs - startedAtMs > 1)
      this.#options.stalls.slow(nameOf(answer), endedAtMs - startedAtMs)
    const socket = response.socket
    if (socket !== null && socket.writableLength === 0 && socket.errored === null) {
      // The kernel has taken it all: nobody refers to the window any more.
      this.#count(exchange, window)
      window.release()
      this.#conclude(answer)
    } else {
      this.#followUp(answer, window)
    }
  }

  /** The client is slow, or the file failed: the window is released, and the outcome known, at the end. */
  #followUp(answer: Answer, window: Window): void {
    const { file, reply, exchange } = answer
    const response = reply.raw
    const socket = response.req.socket
    const forget = this.#options.stalls.begin(nameOf(answer))
    file.tryRetain()
    response.on('error', () => {})
    const conclude = async () => {
      response.off('finish', conclude)
      socket.off('close', conclude)
      forget()
      window.release()
      try {
        // a response counts as finished as well when the write of its last bytes has failed
        if (!response.writableFinished || socket.errored !== null) {
          throw connectionFailure(socket.errored)
        }
        this.#count(exchange, window)
        // What the kernel took late, it may have taken from another content; it still holds some of it.
        if (window.source === 'mapped' && !(await file.hasSameContent())) {
          throw new StorageError('CHANGED', file.path)
        }
        this.#conclude(answer)
      } catch (error) {
        this.#cut(answer, error)
      } finally {
        file.release()
      }
    }
    // gone while its window was read: nothing will be heard of it any more
    if (socket.destroyed) return void conclude()
    response.on('finish', conclude)
    socket.on('close', conclude)
  }

  async #sendWindows(answer: Answer): Promise<void> {
    const { plan, file, reply, exchange } = answer
    const forget = this.#options.stalls.begin(nameOf(answer))
    const body = {
      file,
      source: this.#source,
      parts: plan.body,
      length: plan.contentLength,
      windowBytes: this.#windowBytes,
      exchange,
      measuresFaults: this.#measuresFaults
    }
    try {
      await sendBody(reply.raw, body, {
        begin: (first) => this.#begin(answer, first),
        sent: (source, bytes) => {
          exchange.sent(source, bytes)
          this.#counters.bodyBytes[source] += bytes
        }
      })
      this.#conclude(answer)
    } catch (error) {
      const hasBegun = reply.sent
      if (!hasBegun && !(error instanceof ClientGone)) throw error
      if (!hasBegun) reply.hijack()
      this.#cut(answer, error)
    } finally {
      forget()
    }
  }

  #sendHeadersOnly(answer: Answer): FastifyReply {
    const { plan, reply, selected } = answer
    const { representation } = selected
    switch (plan.status) {
      case 412:
        return reply.header('etag', representation.etag).preconditionFailed()
      case 416:
        return reply
          .headers({ etag: representation.etag, 'accept-ranges': 'bytes' })
          .header('content-range', plan.contentRange)
          .rangeNotSatisfiable()
      default:
        this.#begin(answer, undefined)
        reply.raw.end()
        answer.exchange.firstByteAtMs = performance.now()
        this.#conclude(answer)
        return reply
    }
  }

  /**
   * Status line and headers, past Fastify's reply and as the flat list that node:http takes as it is: a
   * quarter more small hot requests than by `reply.headers().send()`.
   */
  #begin(answer: Answer, first: Window['source'] | undefined): void {
    const { plan, reply, selected } = answer
    const headers = selected.headers.slice()
    if (plan.status !== 304) {
      headers.push('content-type', plan.contentType, 'content-length', `${plan.contentLength}`)
    }
    if (plan.contentRange !== undefined) headers.push('content-range', plan.contentRange)
    if (this.#options.corsHeaders === undefined) {
      for (const [name, value] of Object.entries(reply.getHeaders())) headers.push(name, `${value}`)
    }
    if (this.#options.config.serverTiming === 'on') {
      headers.push('server-timing', serverTiming(answer.exchange, first))
    }
    reply.hijack()
    reply.raw.writeHead(plan.status, headers)
  }

  #count(exchange: Exchange, window: Window): void {
    exchange.sent(window.source, window.bytes.length)
    this.#counters.bodyBytes[window.source] += window.bytes.length
  }

  #conclude({ exchange, request, reply }: Answer, outcome?: string): void {
    exchange.isConcluded = true
    this.#options.observer.conclude(exchange, this.#route, request, reply, outcome)
  }

  /** End a connection whose Content-Length will not be reached: the client sees an incomplete body. */
  #cut(answer: Answer, error: unknown): void {
    const { file, reply } = answer
    const { log } = this.#options
    const reason = reasonOf(error)
    countReason(this.#counters.bodyFailures, reason)
    const details = { path: file.path, reason, ...offsetOf(error) }
    if (reason === 'client_gone') log.debug(details, 'the client went before the end')
    else log.warn(details, 'response cut')
    // Reset, not closed: what the kernel holds for a slow client is thrown away as well.
    reply.raw.req.socket.resetAndDestroy()
    this.#conclude(answer, reason)
  }
}

function onlyRange(body: readonly BodyPart[]): ByteRange | undefined {
  const part = body.length === 1 ? body[0] : undefined
  return part === undefined || part instanceof Uint8Array ? undefined : part
}

function nameOf({ file, request }: Answer): string {
  const { range } = request.headers
  return range === undefined ? file.path : `${file.path} ${range}`
}

function reasonOf(error: unknown): string {
  if (error instanceof ClientGone) return 'client_gone'
  if (error instanceof StorageError) {
    switch (error.code) {
      case 'CHANGED':
        return 'changed'
      case 'SHORT_READ':
        return 'truncated'
      default:
        return 'read_failed'
    }
  }
  return systemCode(error) === 'EFAULT' ? 'truncated' : 'other'
}

function offsetOf(error: unknown): { offset?: number } {
  const offset = error instanceof StorageError ? error.offset : undefined
  return offset === undefined ? {} : { offset }
}

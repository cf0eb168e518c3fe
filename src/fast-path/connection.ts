/** One connection on the fast path: request heads in, answers out, one after the other, until it is handed over. */
import type { Socket } from 'node:net'
import type { FileRequest } from '../delivery/answer.ts'
import type { Delivered, Delivery, Waiting } from '../delivery/deliver.ts'
import type { Refusal } from '../delivery/failure.ts'
import { decodeRequestPath } from '../http/request-path.ts'
import { pathBehind } from '../http/request-target.ts'
import { Exchange } from '../metrics/exchange.ts'
import type { FastPathCounters } from '../metrics/fast-path.ts'
import type { Catalog } from '../storage/catalog.ts'
import { countReason } from '../storage/counters.ts'
import { readAsStream, readDirectly } from './direct-reads.ts'
import { writeError, writeRefusal } from './error-answer.ts'
import { FastSink } from './fast-sink.ts'
import { type HeadFields, type Reason, type RequestHead, readHead } from './request-head.ts'

export interface ConnectionOptions {
  readonly prefix: string
  readonly dotfiles: 'allow' | 'deny'
  readonly catalog: Catalog
  readonly delivery: Delivery
  /** pattern of the route, for the metrics */
  readonly route: string
  /** fields about the connection as node:http sends them, each line with its CRLF */
  readonly connectionLines: string
  /** fields of cross-origin access, as the routes send them */
  readonly corsOf: (origin: string | undefined) => readonly string[]
  readonly corsAlways: readonly string[]
  /** whether requests of this socket must be refused or the service drains: node:http does both */
  readonly isLeaving: (socket: Socket) => boolean
  readonly conclude: (exchange: Exchange) => void
  /** how an error is answered that came before the first byte; undefined: by the application */
  readonly refuse: (error: unknown) => Refusal | undefined
  /** who asks, for the log and for the answer */
  readonly meet: (exchange: Exchange, fields: HeadFields, address: string | undefined) => void
  /** whether the log tells who asks */
  readonly logsAccess: boolean
  /** a connection this long without a byte either way is closed */
  readonly idleTimeoutMs: number
  readonly counters: FastPathCounters
  /** The connection is node:http's from now on; the bytes that were read are in front of the others again. */
  readonly handOver: (connection: Connection) => void
}

export type HandoverReason = Reason | 'error' | 'limit'

// Below the prefix `/` these have routes of their own, which win over files there.
const otherRoutes: ReadonlySet<string> = new Set(['metrics', 'healthz', 'readyz'])

// What a client may send ahead of its answers, beyond which it is not read on.
const maxPendingBytes = 16 * 1024

export class Connection {
  readonly socket: Socket
  readonly #options: ConnectionOptions
  readonly #sink: FastSink
  readonly #isReadDirectly: boolean
  /** bytes that were read and belong to requests that are not begun */
  #pending: Buffer | undefined
  #isAnswering = false
  /** while requests are answered in one turn of the event loop: the next one begins there */
  #isInTurn = false
  /** the kernel has not taken the heads of earlier answers, and enough of them wait */
  #isBlocked = false
  #hasEnded = false
  #isHandedOver = false
  /** when the last request began or the last answer ended; performance.now() */
  lastActiveMs = performance.now()
  hasAsked = false

  constructor(socket: Socket, fd: number, options: ConnectionOptions) {
    this.socket = socket
    this.#options = options
    this.#sink = new FastSink(socket, fd, options.connectionLines, this.#whenAnswered)
    this.#isReadDirectly = readDirectly(socket, this.#whenData)
    if (!this.#isReadDirectly) socket.on('data', this.#whenData)
    socket.on('end', this.#whenEnded)
    socket.on('error', ignore)
    socket.setTimeout(options.idleTimeoutMs, this.#whenTimedOut)
  }

  /** Whether all that came is answered, and nothing of the answers waits here for the client to read. */
  get isIdle(): boolean {
    return this.#isDone && this.socket.writableLength === 0
  }

  get #isDone(): boolean {
    return !this.#isAnswering && this.#pending === undefined
  }

  /** @param chunk valid until this returns: what is kept of it is copied */
  readonly #whenData = (chunk: Buffer) => {
    if (this.#pending !== undefined || this.#isAnswering) {
      this.#keep(chunk, false)
      return
    }
    this.#answerAll(chunk, false)
  }

  /** The client sends no more. What it has asked is answered. */
  readonly #whenEnded = () => {
    this.#hasEnded = true
    if (this.#isDone) this.socket.end()
  }

  readonly #whenAnswered = () => {
    this.#isAnswering = false
    // when the metrics were told of this answer
    if (!this.#isInTurn) queueMicrotask(() => this.#goOn())
  }

  readonly #whenDrained = () => {
    this.#isBlocked = false
    this.#goOn()
  }

  readonly #whenTimedOut = () => {
    this.socket.destroy()
  }

  /** @param isOwn whether the bytes are this connection's alone, and need no copy */
  #keep(chunk: Buffer, isOwn: boolean): void {
    if (this.#pending !== undefined) this.#pending = Buffer.concat([this.#pending, chunk])
    else this.#pending = isOwn ? chunk : Buffer.from(chunk)
    if (this.#pending.length > maxPendingBytes) this.socket.pause()
  }

  #answerAll(bytes: Buffer, isOwn: boolean): void {
    this.#isInTurn = true
    this.#answerInTurn(bytes, isOwn)
    this.#isInTurn = false
    if (this.#hasEnded && this.#isDone && !this.#isHandedOver) this.socket.end()
  }

  /** One request after the other, until one has to be waited for. */
  #answerInTurn(bytes: Buffer, isOwn: boolean): void {
    let at = 0
    while (at < bytes.length) {
      if (this.socket.writableNeedDrain) {
        this.#keep(bytes.subarray(at), isOwn)
        this.#waitForDrain()
        return
      }
      const head = readHead(bytes, at, this.#options.logsAccess)
      const path = typeof head === 'string' ? undefined : this.#pathOf(head)
      if (typeof head === 'string' || path === undefined) {
        this.#handOver(bytes.subarray(at), typeof head === 'string' ? head : 'path')
        return
      }
      if (this.#options.isLeaving(this.socket)) {
        this.#handOver(bytes.subarray(at), 'limit')
        return
      }
      const request = this.#requestOf(head)
      this.#sink.closes = head.closes
      this.#isAnswering = true
      const tried = this.#tryNow(request, path)
      if (tried !== 'done') {
        // bytes of the request itself are needed again should it have to be handed over
        void this.#deliver(request, path, Buffer.from(bytes.subarray(at, head.end)), tried)
      }
      at = head.end
      if (head.closes && !this.#isAnswering) {
        this.#close(at === bytes.length)
        return
      }
      if (this.#isAnswering) {
        if (at < bytes.length) this.#keep(bytes.subarray(at), isOwn)
        return
      }
    }
  }

  /** Answers without a body do not wait for the kernel: a client that never reads could fill the memory with them. */
  #waitForDrain(): void {
    if (this.#isBlocked) return
    this.#isBlocked = true
    this.socket.once('drain', this.#whenDrained)
  }

  #requestOf({ method, target, fields }: RequestHead): FileRequest {
    const { route, corsOf, meet, logsAccess } = this.#options
    const exchange = new Exchange(method, target, fields.range, route)
    if (logsAccess || fields['x-request-id'] !== undefined) {
      meet(exchange, fields, this.socket.remoteAddress)
    }
    this.hasAsked = true
    this.lastActiveMs = exchange.startedAtMs
    return { exchange, sink: this.#sink, method, fields, extraFields: corsOf(fields.origin) }
  }

  #pathOf({ target }: RequestHead): string | undefined {
    const { prefix } = this.#options
    const encoded = pathBehind(prefix, target)
    const path = encoded === undefined ? undefined : decodeRequestPath(encoded, this.#options)
    return prefix === '/' && path !== undefined && otherRoutes.has(path) ? undefined : path
  }

  #tryNow(request: FileRequest, path: string): 'done' | Waiting | undefined {
    const file = this.#options.catalog.tryOpen(path)
    if (file === undefined) return undefined
    let delivered: Delivered | Waiting
    try {
      delivered = this.#options.delivery.tryNow(request, file)
    } finally {
      file.release()
    }
    if (delivered === 'cold' || delivered === 'long') return delivered
    this.#conclude(request, delivered)
    return 'done'
  }

  /** @param bytes of the request, as they came */
  async #deliver(
    request: FileRequest,
    path: string,
    bytes: Buffer,
    tried: Waiting | undefined
  ): Promise<void> {
    try {
      this.#conclude(request, await this.#options.delivery.deliver(request, path, tried))
    } catch (error) {
      // nothing was sent
      this.#isAnswering = false
      if (this.socket.destroyed) return
      const refusal = this.#options.refuse(error)
      if (refusal !== undefined) {
        this.#refuse(request, refusal)
        return
      }
      // the application meets the same again, and has an answer for it
      const rest = this.#pending === undefined ? bytes : Buffer.concat([bytes, this.#pending])
      this.#handOver(rest, 'error')
    }
  }

  /** 412 and 416 are answered here; all else was. */
  #conclude(request: FileRequest, delivered: Delivered): void {
    this.#options.counters.requests++
    if (delivered === 'done') return
    writeError(delivered, this.#options.corsAlways)
    this.#options.conclude(request.exchange)
  }

  #refuse(request: FileRequest, refusal: Refusal): void {
    this.#options.counters.requests++
    writeRefusal(request, refusal, this.#options.corsAlways)
    this.#options.conclude(request.exchange)
  }

  /** After an answer that had to be waited for. */
  #goOn(): void {
    this.lastActiveMs = performance.now()
    if (this.#isAnswering || this.#isBlocked || this.socket.destroyed) return
    if (this.#sink.closes) {
      this.#close(this.#pending === undefined)
      return
    }
    const bytes = this.#pending
    this.#pending = undefined
    this.socket.resume()
    this.#answerAll(bytes ?? nothing, true)
  }

  /**
   * The client wanted one answer, and has it. What else it has sent is not looked at.
   * @param hasReadAll whether nothing came behind that request: bytes that the kernel still holds unread would
   *   turn a plain close into a reset, which may overtake the answer
   */
  #close(hasReadAll: boolean): void {
    this.#pending = undefined
    this.#stopReading()
    if (hasReadAll && this.socket.writableLength === 0) this.socket.destroy()
    else this.socket.destroySoon()
  }

  /** @param bytes that were read and are not answered */
  #handOver(bytes: Buffer, reason: HandoverReason): void {
    if (this.#isHandedOver) return
    this.#isHandedOver = true
    countReason(this.#options.counters.handovers, reason)
    this.#pending = undefined
    // Nothing can be put back in front of an end that was told already. node:http ends such a connection too, even
    // before the answers that it owes.
    if (this.#hasEnded) {
      this.socket.end()
      return
    }
    this.#stopReading()
    this.socket.off('end', this.#whenEnded)
    this.socket.off('error', ignore)
    this.socket.setTimeout(0, this.#whenTimedOut)
    this.#sink.release()
    this.socket.resume()
    if (bytes.length > 0) this.socket.unshift(Buffer.from(bytes))
    this.#options.handOver(this)
  }

  #stopReading(): void {
    if (this.#isReadDirectly) readAsStream(this.socket)
    else this.socket.off('data', this.#whenData)
  }
}

const nothing = Buffer.alloc(0)

function ignore(): void {}

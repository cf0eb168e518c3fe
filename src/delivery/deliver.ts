/** From a request for a path to the end of its answer: which content it is about, and what is tried again. */
import assert from 'node:assert/strict'
import { setTimeout as wait } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { ByteRange } from '../http/byte-range.ts'
import { planResponse } from '../http/plan.ts'
import { traceField } from '../http/trace-field.ts'
import { countReason } from '../storage/counters.ts'
import { StorageError } from '../storage/errors.ts'
import { settleMs } from '../storage/freshness.ts'
import type { OpenFile } from '../storage/open-file.ts'
import type { Storage } from '../storage/storage.ts'
import { type Answer, type FileRequest, nameOf, type Selected } from './answer.ts'
import type { DeliveryContext } from './context.ts'
import { abortReason, isChange } from './failure.ts'
import { answerImmediately, onlyRange } from './immediate.ts'
import { SendError } from './sink.ts'
import { type StreamStart, stream } from './stream.ts'
import { readTwice } from './unsettled.ts'

export interface DeliveryOptions {
  readonly storage: Storage
  readonly context: DeliveryContext
  /** whether a request with this `traceField` is the live page's own, which is told what it cost */
  readonly isTraced?: (secret: string | string[]) => boolean
  readonly select: (file: OpenFile) => Selected
  readonly log: Pick<Logger, 'debug' | 'warn' | 'error'>
  /** most ranges in one request; with more the Range field is ignored */
  readonly maxRanges: number
  /** the answer is over: `complete`, or why it was aborted */
  readonly conclude: (request: FileRequest, outcome: string) => void
}

/** How an answer ended that is not an error of the request: with its last byte, or with an error status to send. */
export type Delivered = 'done' | Answer

/** What keeps an answer from being given at once. */
export type Waiting = 'cold' | 'long'

// How often an answer is tried again because the file was changed before its first byte.
const maxChanges = 10
// Between two of these: what changes every few milliseconds may be caught between two changes.
const changePauseMs = 2
// How long a request waits in all for a file that was rewritten a moment ago to stay as it is. Enough for one that
// is rewritten once; one that is rewritten all the time is not waited for.
const maxSettleMs = settleMs + 5

export class Delivery {
  readonly #options: DeliveryOptions
  readonly #tracedContext: DeliveryContext

  constructor(options: DeliveryOptions) {
    this.#options = options
    this.#tracedContext = { ...options.context, sendsTiming: true, measuresFaults: true }
  }

  /**
   * Answer a request about a file that was looked at in this turn of the event loop.
   * @returns `cold` or `long` when that would have to wait: nothing was sent then, see `answerImmediately`
   * @throws what `prepare` of the request throws
   */
  tryNow(request: FileRequest, file: OpenFile): Delivered | Waiting {
    let answer = this.#answerOf(request, file)
    if (isError(answer)) return answer
    if (request.prepare !== undefined) {
      if (request.prepare(answer) !== undefined) return 'long'
      answer = this.#answerOf(request, file)
    }
    try {
      const outcome = answerImmediately(answer, this.#contextOf(request))
      if (outcome === 'cold' || outcome === 'long') {
        // `deliver` finds it there
        this.#options.storage.catalog.keep(file)
        return outcome
      }
      if (outcome === 'complete') this.#options.conclude(request, 'complete')
      else {
        // it was found a moment ago, and nothing has run since
        assert(file.tryRetain(), 'a file in the catalog is closed')
        void this.#goOn(answer, { begun: outcome })
      }
    } catch (error) {
      this.#abort(answer, error)
    }
    return 'done'
  }

  /**
   * Answer a request about a path.
   * @param tried what `tryNow` has found for it a moment ago
   * @returns the answer when it is 412 or 416, of which nothing is sent: it is the caller's
   * @throws StorageError when it must be refused, or what `prepare` of the request throws: nothing was sent
   */
  async deliver(request: FileRequest, path: string, tried?: Waiting): Promise<Delivered> {
    const { catalog } = this.#options.storage
    const { signal } = request.sink
    const patience = new Patience()
    const { exchange } = request
    exchange.slowsDown()
    for (let known = tried; ; known = undefined) {
      const askedAtMs = performance.now()
      const file = await this.#orGone(request, () => catalog.open(path, signal))
      if (file === undefined) return 'done'
      exchange.opened()
      const openedAtMs = performance.now()
      exchange.waited('open', openedAtMs - askedAtMs)
      try {
        if (await patience.waitFor(file, signal)) {
          exchange.waited('change', performance.now() - openedAtMs)
          continue
        }
        let answer = this.#answerOf(request, file)
        if (isError(answer)) return answer
        if (request.prepare !== undefined) {
          const prepared = request.prepare(answer)
          if (prepared !== undefined) {
            await prepared
            continue
          }
          answer = this.#answerOf(request, file)
        }
        if (await this.#send(answer, patience, known)) return 'done'
      } finally {
        file.release()
      }
    }
  }

  /** @returns false when the file was changed before the first byte, and is to be looked at again */
  async #send(answer: Answer, patience: Patience, known: Waiting | undefined): Promise<boolean> {
    const context = this.#contextOf(answer.request)
    try {
      const outcome = known ?? answerImmediately(answer, context)
      if (typeof outcome === 'object') await this.#stream(answer, { begun: outcome })
      else if (outcome !== 'complete') {
        const range = doubtfulRange(answer, context)
        const proven = range && (await readTwice(answer, context, range))
        await this.#stream(answer, { isCold: outcome === 'cold', proven })
      }
      this.#options.conclude(answer.request, 'complete')
      return true
    } catch (error) {
      if (answer.phase !== 'planned' || isClientGone(error, answer.request)) {
        this.#abort(answer, error)
        return true
      }
      if (!isChange(error) || !patience.mayTryAgain()) throw error
      await wait(changePauseMs)
      return false
    }
  }

  /** The rest of an answer that began in one turn of the event loop. */
  async #goOn(answer: Answer, start: StreamStart): Promise<void> {
    answer.request.exchange.slowsDown()
    try {
      await this.#stream(answer, start)
      this.#options.conclude(answer.request, 'complete')
    } catch (error) {
      this.#abort(answer, error)
    } finally {
      answer.file.release()
    }
  }

  async #stream(answer: Answer, start: StreamStart): Promise<void> {
    const context = this.#contextOf(answer.request)
    const forget = context.stalls.begin(nameOf(answer))
    try {
      await stream(answer, context, start)
    } finally {
      forget()
    }
  }

  #contextOf({ fields }: FileRequest): DeliveryContext {
    const { context, isTraced } = this.#options
    const secret = fields[traceField]
    return secret === undefined || isTraced?.(secret) !== true ? context : this.#tracedContext
  }

  /** @returns undefined when the client went meanwhile, which is concluded then */
  async #orGone<T>(request: FileRequest, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      if (!isClientGone(error, request)) throw error
      countReason(this.#options.storage.counters.bodyFailures, 'client_gone')
      this.#options.conclude(request, 'client_gone')
      return undefined
    }
  }

  /** End a connection whose Content-Length will not be reached: the client sees an incomplete body. */
  #abort(answer: Answer, error: unknown): void {
    const { log, storage, conclude } = this.#options
    const { request, file } = answer
    const reason = isClientGone(error, request) ? 'client_gone' : abortReason(error)
    countReason(storage.counters.bodyFailures, reason)
    const offset = error instanceof StorageError ? error.offset : undefined
    const details = { path: file.path, reason, ...(offset === undefined ? {} : { offset }) }
    if (reason === 'client_gone') log.debug(details, 'the client went before the end')
    else if (reason === 'other') log.error({ ...details, err: error }, 'response cut')
    else log.warn(details, 'response cut')
    answer.phase = 'aborted'
    request.sink.abort()
    conclude(request, reason)
  }

  #answerOf(request: FileRequest, file: OpenFile): Answer {
    const { select, maxRanges } = this.#options
    const selected = select(file)
    const { contentType } = request
    const representation =
      contentType === undefined
        ? selected.representation
        : { ...selected.representation, contentType }
    const plan = planResponse(request.method, request.fields, representation, maxRanges)
    request.exchange.selected(file, plan.body)
    return { request, file, selected, plan, phase: 'planned' }
  }
}

/** 412 and 416 have an error body, which the routes write. */
function isError({ plan }: Answer): boolean {
  return plan.status === 412 || plan.status === 416
}

/** The range that must be read twice: its content changes all the time, and it fits into a window. */
function doubtfulRange(
  { file, plan }: Answer,
  { windowBytes }: DeliveryContext
): ByteRange | undefined {
  if (!isRestless(file) || plan.contentLength > windowBytes) return undefined
  return onlyRange(plan.body)
}

/** Changed a moment ago and not by growing: a write(2) of it may still be at work. */
function isRestless({ freshness }: OpenFile): boolean {
  return !freshness.isSettled && freshness.habit !== 'grows'
}

function isClientGone(error: unknown, { sink }: FileRequest): boolean {
  return sink.signal.aborted || (error instanceof SendError && error.reason === 'client_gone')
}

/** How long one request has waited for a file, and how often it was tried again. */
class Patience {
  #settledMs = 0
  #changes = 0

  /** @returns whether it has waited, so that the file must be looked at again */
  async waitFor({ freshness }: OpenFile, signal: AbortSignal): Promise<boolean> {
    if (freshness.isSettled || freshness.habit !== 'is rewritten') return false
    const leftMs = maxSettleMs - this.#settledMs
    if (leftMs <= 0) return false
    const ms = Math.min(leftMs, Math.max(1, settleMs - freshness.ageMs()))
    this.#settledMs += ms
    await wait(ms, undefined, { signal }).catch(() => {})
    return true
  }

  mayTryAgain(): boolean {
    this.#changes++
    return this.#changes <= maxChanges
  }
}

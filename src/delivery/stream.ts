/**
 * A body window after window. Each is taken when the kernel has accepted all before it, so that a client of any
 * speed costs one window at the most. Each is sent after a look at the file, so that an answer is of one content or
 * is aborted.
 *
 * A mapped window is offered to the kernel once. What it does not take is not left to be written from the mapping
 * later, when the file may have changed: the next bytes are a small copy, which waits in the socket in its place.
 * The last bytes of a body of more than one window are a copy that is made when all before them have been taken,
 * and that is sent only if the file is still the same then: so no such answer of two contents becomes complete. In
 * a shorter body, what remains between the look and the kernel's copy are the microseconds of one system call.
 */
import type { ByteSource, CopiedWindow, Window } from '../storage/byte-source.ts'
import { StorageError } from '../storage/errors.ts'
import type { ContentWatch } from '../storage/freshness.ts'
import type { OpenFile } from '../storage/open-file.ts'
import type { Answer } from './answer.ts'
import type { DeliveryContext } from './context.ts'
import { begin, endOf, type Progress, rangesOf, slowWriteMs } from './immediate.ts'

// What waits in the socket of a client that is slower than we are.
const pieceBytes = 16 * 1024
// the same where only copies may be sent: TLS and HTTP/2 cost more for each write
const portablePieceBytes = 64 * 1024

// The end of a long answer that is a copy. Any number ≥ 1 would do.
const tailBytes = 4096

export interface StreamStart {
  /** how much the kernel has taken already, of an answer that has begun */
  readonly begun?: Progress | undefined
  /** whether the first window is known not to be in memory (default: false) */
  readonly isCold?: boolean
  /** the first window, if it was read already and its content is proven; the stream releases it */
  readonly proven?: CopiedWindow | undefined
}

/** @throws StorageError, SendError; the answer's phase tells whether it can still be refused */
export async function stream(
  answer: Answer,
  context: DeliveryContext,
  { begun, isCold = false, proven }: StreamStart = {}
): Promise<void> {
  const { plan, request, file } = answer
  const ranges = rangesOf(plan.body)
  const watch = begun?.watch ?? file.freshness.watch(endOf(ranges))
  const sender = new WindowSender(answer, context, watch, { begun, isCold, proven })
  if (begun?.watch === undefined) await sender.prepare(ranges[0]?.start ?? 0)
  for (const [index, part] of plan.body.entries()) {
    if (begun !== undefined && index < begun.part) continue
    const sent = index === begun?.part ? begun.sent : 0
    if (typeof part === 'string') sender.append(part)
    else await sender.send(part.start + sent, part.end, part === ranges.at(-1))
  }
  request.sink.end()
  answer.phase = 'complete'
}

class WindowSender {
  readonly #answer: Answer
  readonly #context: DeliveryContext
  readonly #watch: ContentWatch
  readonly #file: OpenFile
  readonly #source: ByteSource
  /** more than the kernel takes at once */
  readonly #isLong: boolean
  /** the next window need not be looked for in memory */
  #isCold: boolean
  /** the next window, if its content needs no further check */
  #proven: CopiedWindow | undefined
  /** the text in front of the first window, until the status line can be sent */
  #early = ''

  constructor(
    answer: Answer,
    context: DeliveryContext,
    watch: ContentWatch,
    { begun, isCold, proven }: Required<StreamStart>
  ) {
    this.#isLong = begun !== undefined || answer.plan.contentLength > context.windowBytes
    this.#isCold = isCold
    this.#proven = proven
    this.#answer = answer
    this.#context = context
    this.#watch = watch
    this.#file = answer.file
    this.#source = answer.request.sink.canSendNow ? context.source : context.copies
  }

  /**
   * Keeps a few bytes of the content that the answer is about, while it is certain that they are of it: the file was
   * looked at in this turn of the event loop.
   */
  async prepare(start: number): Promise<void> {
    if (this.#isCold || this.#proven !== undefined) return
    this.#watch.sample(start)
    if (!(await this.#watch.holds())) throw new StorageError('CHANGED', this.#file.path)
  }

  append(text: string): void {
    // a failure of the first window can still be answered with an error status
    if (this.#answer.phase === 'planned') this.#early += text
    else this.#answer.request.sink.append(text)
  }

  /** @param isLast whether the answer ends with these bytes: of a long one, the last of them must be a copy */
  async send(start: number, end: number, isLast: boolean): Promise<void> {
    const tailStart = this.#isLong && isLast ? Math.max(start, end - tailBytes) : end
    for (let at = start; at < end; ) {
      if (this.#isLong || at > start) await this.#context.turns.next()
      if (at >= tailStart) {
        at += await this.#sendWindow(await this.#copy(at, end), at, end)
      } else {
        at += await this.#sendWindow(await this.#next(at, end), at, tailStart)
      }
    }
  }

  async #next(at: number, end: number): Promise<Window> {
    const { exchange } = this.#answer.request
    if (this.#proven !== undefined) return this.#proven
    if (this.#isCold) {
      this.#isCold = false
      return this.#read(at, end)
    }
    const window = this.#withFaults(() => {
      const found = this.#source.tryRead(this.#file, at, end)
      if (this.#context.measuresFaults) found?.faultIn?.()
      return found
    })
    if (window === undefined) exchange.coldWindows++
    else exchange.residentWindows++
    return window ?? (await this.#read(at, end))
  }

  /** From the page cache, or by the thread pool. */
  async #copy(at: number, end: number): Promise<Window> {
    return this.#context.copies.tryRead(this.#file, at, end) ?? (await this.#read(at, end))
  }

  #read(at: number, end: number): Promise<CopiedWindow> {
    const mayRefuse = this.#answer.phase === 'planned'
    const { sink, exchange } = this.#answer.request
    const { signal } = sink
    const waited = exchange.waited.bind(exchange)
    return this.#source.read(this.#file, at, end, { signal, mayRefuse, waited })
  }

  /**
   * @param mappedEnd where a mapped window ends at the latest
   * @returns how many bytes of the file the kernel has taken, ≥ 1
   */
  async #sendWindow(window: Window, at: number, mappedEnd: number): Promise<number> {
    let sent = 0
    let rest: Buffer | undefined
    const mappedLength = Math.min(window.length, mappedEnd - at)
    try {
      if (window === this.#proven) this.#proven = undefined
      else await this.#check(window, at)
      if (this.#answer.phase === 'planned') this.#begin(window.source)
      if (window.copy === undefined) {
        sent = this.#offer(window, 0, mappedLength)
      } else {
        ;({ sent, rest } = await this.#sendCopy(window, window.copy))
      }
    } finally {
      window.release()
    }
    if (window.copy === undefined && sent < mappedLength) {
      return sent + (await this.#sendPiece(at + sent, at + mappedLength))
    }
    return rest === undefined ? sent : sent + (await this.#write(rest))
  }

  /**
   * A copy stays what it is, however long the client takes. It is kept until it is sent, or, while buffers are
   * short, only as much of it as can wait in the socket.
   */
  async #sendCopy(
    window: Window,
    copy: Buffer
  ): Promise<{ readonly sent: number; readonly rest: Buffer | undefined }> {
    const { canSendNow } = this.#answer.request.sink
    for (let sent = 0; ; ) {
      if (canSendNow && sent < window.length) sent += this.#offer(window, sent, window.length)
      if (sent === window.length) return { sent, rest: undefined }
      const piece = copy.subarray(sent, sent + (canSendNow ? pieceBytes : portablePieceBytes))
      if (this.#context.isShortOfBuffers()) {
        return { sent, rest: Buffer.from(piece) }
      }
      sent += await this.#write(piece)
    }
  }

  /** Bytes [from, to) of a window. @returns how many of them the kernel took */
  #offer(window: Window, from: number, to: number): number {
    const { sink, exchange } = this.#answer.request
    const startedAtMs = performance.now()
    const taken = this.#withFaults(() => sink.sendNow(window.address + from, to - from))
    const ms = performance.now() - startedAtMs
    if (ms > slowWriteMs && window.source === 'mapped') exchange.waited('send', ms)
    this.#count(window.source, taken)
    return taken
  }

  /** The next bytes after a mapped window that was not taken whole: a copy of them, which can wait. */
  async #sendPiece(at: number, end: number): Promise<number> {
    const pieceEnd = Math.min(end, at + pieceBytes)
    const window = await this.#copy(at, pieceEnd)
    let piece: Buffer
    try {
      await this.#check(window, at)
      // a copied window has one
      piece = Buffer.from(window.copy as Buffer)
    } finally {
      window.release()
    }
    return this.#write(piece)
  }

  async #write(piece: Buffer): Promise<number> {
    const { sink, exchange } = this.#answer.request
    const startedAtMs = performance.now()
    exchange.firstByteAtMs ??= startedAtMs
    await sink.write(piece)
    exchange.waited('client', performance.now() - startedAtMs)
    this.#count('read', piece.length)
    return piece.length
  }

  /** @throws StorageError CHANGED when the bytes that were promised are not those of the file any more */
  async #check(window: Window, at: number): Promise<void> {
    if (this.#watch.wantsSample()) {
      if (window.copy === undefined) this.#watch.sample(at)
      else this.#watch.offer(at, window.copy)
    }
    const holds = this.#watch.holds()
    if (!(typeof holds === 'boolean' ? holds : await holds)) {
      throw new StorageError('CHANGED', this.#file.path)
    }
  }

  #begin(source: Window['source']): void {
    begin(this.#answer, this.#context, source)
    if (this.#early !== '') this.#answer.request.sink.append(this.#early)
  }

  #count(source: Window['source'], bytes: number): void {
    const { exchange } = this.#answer.request
    exchange.firstByteAtMs ??= performance.now()
    this.#context.count(exchange, source, bytes)
  }

  #withFaults<T>(work: () => T): T {
    const { exchange } = this.#answer.request
    return this.#context.measuresFaults ? exchange.measureFaults(work) : work()
  }
}

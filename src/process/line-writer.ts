/**
 * Lines to a descriptor, without ever making the event loop wait: what its reader has not taken is kept up to a bound,
 * and lines beyond it are dropped and counted. Knows nothing of what is in a line.
 */
import { write } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { writeNow } from '../storage/native/non-blocking.ts'

// Up to so many bytes a write to a pipe is not torn apart by the writes of other workers. See pipe(7), PIPE_BUF.
const mostBytesOfPiece = 4096
// of one write on the thread pool: 256 KiB
const mostPiecesOfWrite = 64
// Lines are gathered before they are written, for so long or until there are so many bytes: to wake the reader, or a
// thread of the pool, costs more than ten lines. A pipe takes 64 KiB at once, if it is empty.
const gatherMs = 10
const gatherBytes = 2 ** 15

export interface LineWriterOptions {
  readonly fd: number
  /** whether a write that would have to wait fails with EAGAIN; otherwise it goes to the thread pool */
  readonly isNonBlocking: boolean
  /** that wait for the reader */
  readonly mostWaitingBytes: number
}

export class LineWriter {
  /** lines that were not written, and will not be */
  dropped = 0
  readonly #options: LineWriterOptions
  // each of whole lines, not longer than `mostBytesOfPiece` unless it is one line
  #pieces: string[] = []
  #lastPieceBytes = 0
  // of a piece that was begun and not taken whole
  #rest: Buffer | undefined
  // a line was begun and will not be ended: the next one must not go on with it
  #isTorn = false
  #waitingBytes = 0
  // that came after the last trial to write
  #newBytes = 0
  #timer: NodeJS.Timeout | undefined
  #isScheduled = false
  // on the thread pool
  #isWriting = false

  constructor(options: LineWriterOptions) {
    this.#options = options
  }

  /** @param line with its line feed */
  write(line: string): void {
    const bytes = Buffer.byteLength(line)
    if (this.#waitingBytes + bytes > this.#options.mostWaitingBytes) {
      this.dropped++
      return
    }
    this.#waitingBytes += bytes
    this.#newBytes += bytes
    const last = this.#pieces.length - 1
    if (last >= 0 && this.#lastPieceBytes + bytes <= mostBytesOfPiece) {
      this.#pieces[last] += line
      this.#lastPieceBytes += bytes
    } else {
      this.#pieces.push(line)
      this.#lastPieceBytes = bytes
    }
    if (this.#newBytes >= gatherBytes) this.#flushAfterTurn()
    else this.#flushLater()
  }

  /** Writes what waits. @param timeoutMs after which what is left is dropped */
  async end(timeoutMs: number): Promise<void> {
    const endMs = performance.now() + timeoutMs
    this.#flush()
    while (this.#waitingBytes > 0 && performance.now() < endMs) {
      await wait(1)
      this.#flush()
    }
    this.#pieces = []
    this.#rest = undefined
  }

  #flushLater(): void {
    this.#timer ??= setTimeout(() => this.#flush(), gatherMs)
  }

  #flushAfterTurn(): void {
    if (this.#isScheduled) return
    this.#isScheduled = true
    setImmediate(() => {
      this.#isScheduled = false
      this.#flush()
    })
  }

  #flush(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#newBytes = 0
    if (this.#options.isNonBlocking) this.#writeNow()
    else this.#writeOnThreadPool()
  }

  #writeNow(): void {
    let taken = 0
    let isFull = false
    while (!isFull && (this.#rest !== undefined || taken < this.#pieces.length)) {
      const bytes = this.#rest ?? this.#bytesOf(this.#pieces[taken++] as string)
      const count = writeNow(this.#options.fd, bytes)
      this.#account(bytes, count)
      isFull = count >= 0 && count < bytes.length
    }
    this.#pieces.splice(0, taken)
    if (isFull) this.#flushLater()
  }

  #writeOnThreadPool(): void {
    if (this.#isWriting) return
    if (this.#rest === undefined && this.#pieces.length === 0) return
    const pieces = this.#rest ?? this.#bytesOf(this.#pieces.splice(0, mostPiecesOfWrite).join(''))
    this.#isWriting = true
    write(this.#options.fd, pieces, (error, count) => {
      this.#isWriting = false
      this.#account(pieces, error === null ? count : -1)
      if (this.#waitingBytes >= gatherBytes) this.#flush()
      else if (this.#waitingBytes > 0) this.#flushLater()
    })
  }

  #bytesOf(lines: string): Buffer {
    if (!this.#isTorn) return Buffer.from(lines)
    this.#waitingBytes++
    return Buffer.from(`\n${lines}`)
  }

  /** @param count of bytes that were written; negative: the write failed, as on a full disk or without a reader */
  #account(bytes: Buffer, count: number): void {
    const isRest = bytes === this.#rest
    if (count < 0) {
      // the line feed that ends a torn line is none
      this.dropped += linesIn(bytes) - (this.#isTorn && !isRest ? 1 : 0)
      this.#isTorn ||= isRest
    } else if (count > 0) this.#isTorn = false
    this.#waitingBytes -= count < 0 ? bytes.length : count
    this.#rest = count >= 0 && count < bytes.length ? bytes.subarray(count) : undefined
  }
}

function linesIn(bytes: Buffer): number {
  let lines = 0
  for (let at = bytes.indexOf('\n'); at >= 0; at = bytes.indexOf('\n', at + 1)) lines++
  return lines
}

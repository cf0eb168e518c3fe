/**
 * Who may read now: fewer at once than libuv's pool has threads, so that one is left for opening a file and for
 * asking about it however slow the disk is; the others wait their turn without a buffer. A queue that only grows
 * is a stall too: beyond a limit, new requests are refused while they still can be.
 */
import { StorageError } from './errors.ts'

export interface ReadQueueOptions {
  /** reads at once, 1 or more */
  readonly maxRunning: number
  /** reads that wait, beyond which a request that has not begun its answer is refused */
  readonly maxWaiting: number
}

export class ReadQueue {
  readonly #options: ReadQueueOptions
  readonly #waiting: (() => void)[] = []
  #running = 0

  constructor(options: ReadQueueOptions) {
    this.#options = options
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /**
   * Resolves, first come first served, when the caller may read; then the caller calls `leave` exactly once.
   * @param path relative to the root, for the error
   * @param mayRefuse false for an answer that has begun, which would have to be cut
   * @returns undefined when it may do so at once
   * @throws StorageError OVERLOADED
   */
  enter(path: string, mayRefuse: boolean): Promise<void> | undefined {
    const { maxRunning, maxWaiting } = this.#options
    if (this.#running < maxRunning) {
      this.#running++
      return undefined
    }
    if (mayRefuse && this.#waiting.length >= maxWaiting) {
      throw new StorageError('OVERLOADED', path, { reason: 'reads' })
    }
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  leave(): void {
    // the place is handed on, so that nobody who comes in between takes it
    const next = this.#waiting.shift()
    if (next === undefined) this.#running--
    else next()
  }
}

/** @returns threads of libuv's pool, which reads the variable once, at its first use */
export function poolThreads(): number {
  const threads = Number(process.env.UV_THREADPOOL_SIZE ?? 4)
  return Number.isInteger(threads) && threads > 0 ? Math.min(threads, 1024) : 4
}

/** @returns how many of these threads may read at once: a third is left for opening files and asking about them */
export function readersOf(threads: number): number {
  return Math.max(1, Math.floor((threads * 2) / 3))
}

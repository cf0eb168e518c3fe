/**
 * Who may use the storage now: fewer at once than libuv's pool has threads, so that some are left for others
 * however slow the disk is; who has to wait has no buffer yet. A queue that only grows is a stall too: beyond a
 * limit, new requests are refused while they still can be.
 */
import { StorageError } from './errors.ts'

export interface StorageQueueOptions {
  /** what they want, for the counter of those that are refused */
  readonly what: 'reads' | 'opens'
  /** at once, 1 or more */
  readonly maxRunning: number
  /** at once of one file, so that a slow one leaves a place for others; default: as many */
  readonly maxOfOne?: number
  /** those that wait, beyond which a request that has not begun its answer is refused */
  readonly maxWaiting: number
}

export class StorageQueue {
  readonly #options: StorageQueueOptions
  /** by file, and the files in the order of their turns */
  readonly #waiting = new Map<string, (() => void)[]>()
  #waitingCount = 0
  readonly #running = new Map<string, number>()
  #runningCount = 0

  constructor(options: StorageQueueOptions) {
    this.#options = options
  }

  get waiting(): number {
    return this.#waitingCount
  }

  /**
   * Resolves when it is the caller's turn; then the caller calls `leave` exactly once. Files take turns, so that
   * a thousand who wait for one do not stand before the first who wants another.
   * @param path relative to the root, for the error
   * @param mayRefuse false for an answer that has begun, which would have to be cut
   * @returns undefined when it may do so at once
   * @throws StorageError OVERLOADED
   */
  enter(path: string, mayRefuse: boolean): Promise<void> | undefined {
    const { what, maxRunning, maxWaiting } = this.#options
    if (this.#runningCount < maxRunning && this.#mayRun(path)) {
      this.#begin(path)
      return undefined
    }
    if (mayRefuse && this.#waitingCount >= maxWaiting) {
      throw new StorageError('OVERLOADED', path, { reason: what })
    }
    this.#waitingCount++
    return new Promise((resolve) => {
      const others = this.#waiting.get(path)
      if (others === undefined) this.#waiting.set(path, [resolve])
      else others.push(resolve)
    })
  }

  /** @param path as in `enter` */
  leave(path: string): void {
    const running = (this.#running.get(path) ?? 0) - 1
    if (running > 0) this.#running.set(path, running)
    else this.#running.delete(path)
    this.#runningCount--
    for (const [path, [next, ...others]] of this.#waiting) {
      if (!this.#mayRun(path)) continue
      // the place is handed on, so that nobody who comes in between takes it
      this.#begin(path)
      this.#waitingCount--
      // to the end of the line
      this.#waiting.delete(path)
      if (others.length > 0) this.#waiting.set(path, others)
      next?.()
      return
    }
  }

  #mayRun(path: string): boolean {
    const { maxRunning, maxOfOne = maxRunning } = this.#options
    return (this.#running.get(path) ?? 0) < maxOfOne
  }

  #begin(path: string): void {
    this.#running.set(path, (this.#running.get(path) ?? 0) + 1)
    this.#runningCount++
  }
}

/** @returns threads of libuv's pool, which reads the variable once, at its first use */
export function poolThreads(): number {
  const threads = Number(process.env.UV_THREADPOOL_SIZE ?? 4)
  return Number.isInteger(threads) && threads > 0 ? Math.min(threads, 1024) : 4
}

/**
 * How many of the pool's threads may read, how many of them one file, and how many may open files, at once. The
 * rest is for asking about files that are open, so that what is in memory is served however slow all else is.
 */
export function sharesOf(threads: number): {
  readonly readers: number
  readonly readersOfOne: number
  readonly openers: number
} {
  const share = (part: number) => Math.max(1, Math.floor(threads * part))
  return { readers: share(1 / 2), readersOfOne: share(3 / 8), openers: share(1 / 4) }
}

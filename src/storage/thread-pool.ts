/**
 * The shares of libuv's thread pool: fewer reads at once than the pool has threads, so that some are left for
 * others however slow the disk is. Work that has to wait has no buffer yet. A queue that only grows is a stall
 * too: beyond a limit, new requests are refused while they still can be.
 */
import { StorageError } from './errors.ts'

export interface ShareOptions {
  /** for the counter of the requests that are refused */
  readonly what: 'reads' | 'opens' | 'listings'
  /** at once, 1 or more */
  readonly maxRunning: number
  /** at once under one key, so that a slow file leaves threads for others; default: as many */
  readonly maxOfOne?: number
  /** waiting work, beyond which more is refused where that may be */
  readonly maxWaiting: number
}

export interface RunOptions {
  /** aborted: work that waits leaves the queue and is never started; work that runs goes on */
  readonly signal?: AbortSignal | undefined
  /** whether to fail rather than to wait behind `maxWaiting` others; false once an answer has begun (default: false) */
  readonly mayRefuse?: boolean | undefined
}

interface Waiter {
  start(): void
}

/** A share of the pool: so many of its threads at once, and the queue of what waits for one. */
export class PoolShare {
  readonly #options: ShareOptions
  /** by key, and the keys in the order of their turns */
  readonly #waiting = new Map<string, Set<Waiter>>()
  #waitingCount = 0
  readonly #running = new Map<string, number>()
  #runningCount = 0

  constructor(options: ShareOptions) {
    this.#options = options
  }

  /** How much work waits for a thread. */
  get waiting(): number {
    return this.#waitingCount
  }

  /**
   * Run work that uses one thread of the pool, when it is its turn. Keys take turns, so that the first read
   * of a file does not wait for a thousand reads of another.
   * @param key the file's path relative to the root
   * @throws StorageError OVERLOADED; the reason of `signal` when it is aborted before the work began; what `work` throws
   */
  async run<T>(key: string, { signal, mayRefuse }: RunOptions, work: () => Promise<T>): Promise<T> {
    signal?.throwIfAborted()
    const { what, maxRunning, maxWaiting } = this.#options
    if (this.#runningCount < maxRunning && this.#mayRun(key)) {
      this.#begin(key)
    } else {
      if (mayRefuse === true && this.#waitingCount >= maxWaiting) {
        throw new StorageError('OVERLOADED', key, { reason: what })
      }
      await this.#wait(key, signal)
    }
    try {
      return await work()
    } finally {
      this.#end(key)
    }
  }

  /**
   * Run work that uses one thread of the pool if one is free now: nobody waits for it. Who comes while it runs may wait
   * for its thread, as for any other.
   * @param work never rejected
   * @returns when its thread is given back; undefined: none was free, and the work was not started
   */
  tryRun(key: string, work: () => Promise<void>): Promise<void> | undefined {
    if (this.#runningCount >= this.#options.maxRunning || !this.#mayRun(key)) return undefined
    this.#begin(key)
    return work().then(() => this.#end(key))
  }

  #wait(key: string, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#remove(key, waiter)
        reject(signal?.reason)
      }
      const waiter: Waiter = {
        start: () => {
          signal?.removeEventListener('abort', leave)
          resolve()
        }
      }
      signal?.addEventListener('abort', leave, { once: true })
      const others = this.#waiting.get(key)
      if (others === undefined) this.#waiting.set(key, new Set([waiter]))
      else others.add(waiter)
      this.#waitingCount++
    })
  }

  #remove(key: string, waiter: Waiter): void {
    const others = this.#waiting.get(key)
    if (others?.delete(waiter) !== true) return
    this.#waitingCount--
    if (others.size === 0) this.#waiting.delete(key)
  }

  #end(key: string): void {
    const running = (this.#running.get(key) ?? 0) - 1
    if (running > 0) this.#running.set(key, running)
    else this.#running.delete(key)
    this.#runningCount--
    for (const [key, waiters] of this.#waiting) {
      const [next] = waiters
      if (next === undefined || !this.#mayRun(key)) continue
      // the thread is handed on, so that no work that comes in between takes it
      this.#begin(key)
      this.#remove(key, next)
      // the key goes to the end of the queue
      if (waiters.size > 0) {
        this.#waiting.delete(key)
        this.#waiting.set(key, waiters)
      }
      next.start()
      return
    }
  }

  #mayRun(key: string): boolean {
    const { maxRunning, maxOfOne = maxRunning } = this.#options
    return (this.#running.get(key) ?? 0) < maxOfOne
  }

  #begin(key: string): void {
    this.#running.set(key, (this.#running.get(key) ?? 0) + 1)
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

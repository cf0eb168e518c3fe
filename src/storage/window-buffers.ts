/**
 * Buffers for copied windows, used again and again, and not more of them than a budget allows: anonymous memory
 * must not grow with clients, with pipelined requests or with the size of what is asked for.
 */
import { discard } from './native/advice.ts'
import { addressOf } from './native/libc.ts'

/** A buffer of the pool. */
export interface Block {
  /** whether it has memory that was not given back */
  isDirty: boolean
  /** given back to the pool since the pool was last looked at */
  isRecent: boolean
  /** a power of two, ≥ 4 KiB; arbitrary content */
  readonly buffer: Buffer
  /** of its first byte */
  readonly address: number
}

// Kept for the next window; what comes back beyond it is left to the collector.
const maxIdleBytes = 32 * 2 ** 20

// How long a buffer keeps its memory that nobody uses, at the least. A collection of garbage would come later, if ever.
const discardAfterMs = 2000

interface Waiter {
  readonly size: number
  take(block: Block): void
}

export class WindowBuffers {
  readonly #idle = new Map<number, Block[]>()
  readonly #waiting = new Set<Waiter>()
  readonly #budgetBytes: number
  #idleBytes = 0
  #usedBytes = 0
  #discarder: NodeJS.Timeout | undefined

  /** @param budgetBytes in use at once; a larger window is let through when nothing else is in use */
  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes
  }

  /** bytes of buffers in use now */
  get usedBytes(): number {
    return this.#usedBytes
  }

  /** how many wait for a buffer */
  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * @param length bytes, > 0
   * @returns a buffer of `length` bytes or more; undefined while the budget is used up
   */
  tryTake(length: number): Block | undefined {
    const size = sizeFor(length)
    if (this.#waiting.size > 0 || !this.#hasRoom(size)) return undefined
    return this.#take(size)
  }

  /**
   * The same, when it is the caller's turn.
   * @throws the reason of `signal` when it is aborted before
   */
  take(length: number, signal?: AbortSignal): Promise<Block> {
    const block = this.tryTake(length)
    if (block !== undefined) return Promise.resolve(block)
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted()
      const leave = () => {
        this.#waiting.delete(waiter)
        reject(signal?.reason)
        // the next waiter may want less
        this.#serve()
      }
      const waiter: Waiter = {
        size: sizeFor(length),
        take: (block) => {
          signal?.removeEventListener('abort', leave)
          resolve(block)
        }
      }
      signal?.addEventListener('abort', leave, { once: true })
      this.#waiting.add(waiter)
    })
  }

  giveBack(block: Block): void {
    const { length } = block.buffer
    this.#usedBytes -= length
    if (this.#idleBytes + length <= maxIdleBytes) {
      const idle = this.#idle.get(length)
      if (idle === undefined) this.#idle.set(length, [block])
      else idle.push(block)
      this.#idleBytes += length
      block.isRecent = true
      this.#discarder ??= setInterval(() => this.#discard(), discardAfterMs).unref()
    }
    this.#serve()
  }

  #serve(): void {
    for (const waiter of this.#waiting) {
      if (!this.#hasRoom(waiter.size)) return
      this.#waiting.delete(waiter)
      waiter.take(this.#take(waiter.size))
    }
  }

  #hasRoom(size: number): boolean {
    return this.#usedBytes === 0 || this.#usedBytes + size <= this.#budgetBytes
  }

  #take(size: number): Block {
    this.#usedBytes += size
    const block = this.#idle.get(size)?.pop()
    if (block !== undefined) {
      this.#idleBytes -= size
      block.isDirty = true
      return block
    }
    const buffer = Buffer.allocUnsafeSlow(size)
    return { buffer, address: addressOf(buffer), isDirty: true, isRecent: false }
  }

  /** The memory of what has been idle for a while; the buffers stay. */
  #discard(): void {
    let isOver = true
    for (const idle of this.#idle.values()) {
      for (const block of idle) {
        if (block.isDirty && !block.isRecent) {
          discard(block.address, block.buffer.length)
          block.isDirty = false
        }
        if (block.isDirty) isOver = false
        block.isRecent = false
      }
    }
    if (!isOver) return
    clearInterval(this.#discarder)
    this.#discarder = undefined
  }
}

function sizeFor(length: number): number {
  return Math.max(4096, 2 ** Math.ceil(Math.log2(length)))
}

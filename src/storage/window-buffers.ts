/** Buffers for windows that are read, used again and again: anonymous memory grows with clients, never with ranges. */

export class WindowBuffers {
  readonly #idle = new Map<number, Buffer[]>()
  readonly #maxIdleBytes: number
  #idleBytes = 0

  /** @param maxIdleBytes kept for the next window; what comes back beyond it is left to the collector */
  constructor(maxIdleBytes: number) {
    this.#maxIdleBytes = maxIdleBytes
  }

  /**
   * @param length bytes, > 0
   * @returns a buffer of `length` bytes or more (a power of two, 4 KiB at least), with arbitrary content
   */
  take(length: number): Buffer {
    const size = Math.max(4096, 2 ** Math.ceil(Math.log2(length)))
    const buffer = this.#idle.get(size)?.pop()
    if (buffer === undefined) return Buffer.allocUnsafeSlow(size)
    this.#idleBytes -= size
    return buffer
  }

  giveBack(buffer: Buffer): void {
    if (this.#idleBytes + buffer.length > this.#maxIdleBytes) return
    const idle = this.#idle.get(buffer.length)
    if (idle === undefined) this.#idle.set(buffer.length, [buffer])
    else idle.push(buffer)
    this.#idleBytes += buffer.length
  }
}

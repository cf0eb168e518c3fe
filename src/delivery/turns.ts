/** The turns of the event loop, shared among long answers: many of them at once must not keep it from all else. */

/**
 * In each turn of the event loop so many windows are sent, and the others in the next ones, in the order in which
 * they asked. New connections, small answers and timers come in between.
 */
export class Turns {
  readonly #windowsPerTurn: number
  #waiting: (() => void)[] = []

  /** @param bytesPerTurn about as much is copied to sockets in one turn, one window at the least */
  constructor(windowBytes: number, bytesPerTurn: number) {
    this.#windowsPerTurn = Math.max(1, Math.floor(bytesPerTurn / windowBytes))
  }

  /** @returns when one more window may be sent */
  next(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#waiting.length === 0) setImmediate(this.#begin)
      this.#waiting.push(resolve)
    })
  }

  readonly #begin = () => {
    const now = this.#waiting.slice(0, this.#windowsPerTurn)
    this.#waiting = this.#waiting.slice(this.#windowsPerTurn)
    if (this.#waiting.length > 0) setImmediate(this.#begin)
    for (const resolve of now) resolve()
  }
}

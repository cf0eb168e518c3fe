/**
 * Which parts of an extent were not in memory lately. To map a page costs a fault, and the kernel must undo the mapping
 * before it can reclaim the page. That pays off for pages that stay in memory and are asked for again. Pages that come
 * and go are cheaper to copy.
 */

// one note for so many bytes
const partBytes = 2 ** 20
// Beyond it the past does not count.
const mostColds = 3
// What is cold for the first time may be read once and stay.
const coldsOfComingAndGoing = 2

export class RecentlyCold {
  /** by part: how often it was not in memory, less how often it was found there since */
  readonly #colds: Uint8Array

  /** @param length of the extent, in bytes */
  constructor(length: number) {
    this.#colds = new Uint8Array(Math.ceil(length / partBytes))
  }

  /** Some bytes were not in memory. @param at where they begin in the extent */
  mark(at: number): void {
    const part = Math.floor(at / partBytes)
    this.#colds[part] = Math.min(mostColds, (this.#colds[part] ?? 0) + 1)
  }

  /**
   * Some bytes were found in memory.
   * @param at where they begin in the extent
   * @returns whether they may be expected to stay
   */
  isStaying(at: number): boolean {
    const part = Math.floor(at / partBytes)
    const colds = this.#colds[part] ?? 0
    if (colds > 0) this.#colds[part] = colds - 1
    return colds < coldsOfComingAndGoing
  }
}

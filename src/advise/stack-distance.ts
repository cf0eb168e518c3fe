/**
 * How much memory a trace of accesses needs: LRU stack distances, from one pass over it. From the distances follows
 * the share of misses of a cache of every size at once.
 * @see Mattson et al., Evaluation techniques for storage hierarchies, IBM Systems Journal 9 (1970); with a tree of
 *   sums as Bennett and Kruskal, LRU stack processing, IBM Journal of Research and Development 19 (1975)
 */

/** Tells for each access how many others were used since the last time. */
export class LruStack {
  /** when each key was used last */
  readonly #last = new Map<number, number>()
  #tree = new FenwickTree(1024)
  #now = 0

  /** Keys that were used so far. */
  get size(): number {
    return this.#last.size
  }

  /**
   * @returns different keys that were used since this one was: it is still in an LRU cache of more keys than that;
   *   Infinity of a key that was never used
   */
  access(key: number): number {
    if (this.#now === this.#tree.length) this.#renumber()
    const last = this.#last.get(key)
    let distance = Number.POSITIVE_INFINITY
    if (last !== undefined) {
      distance = this.#last.size - this.#tree.sumTo(last)
      this.#tree.add(last, -1)
      // a map keeps the order of insertion, which is that of use
      this.#last.delete(key)
    }
    this.#tree.add(this.#now, 1)
    this.#last.set(key, this.#now)
    this.#now++
    return distance
  }

  /** Times that are not the last of a key leave gaps; without them as many are free as are in use. */
  #renumber(): void {
    this.#tree = new FenwickTree(Math.max(1024, 2 * this.#last.size))
    this.#now = 0
    for (const key of this.#last.keys()) {
      this.#tree.add(this.#now, 1)
      this.#last.set(key, this.#now)
      this.#now++
    }
  }
}

/** Counts at places of which the sum up to any place is known in logarithmic time. */
class FenwickTree {
  readonly #sums: Int32Array

  constructor(length: number) {
    this.#sums = new Int32Array(length + 1)
  }

  get length(): number {
    return this.#sums.length - 1
  }

  /** @param place ≥ 0, < length */
  add(place: number, count: number): void {
    for (let i = place + 1; i < this.#sums.length; i += i & -i) {
      this.#sums[i] = (this.#sums[i] as number) + count
    }
  }

  /** @returns the sum of the counts at 0 to `place`, itself included */
  sumTo(place: number): number {
    let sum = 0
    for (let i = place + 1; i > 0; i -= i & -i) sum += this.#sums[i] as number
    return sum
  }
}

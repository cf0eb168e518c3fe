/** Long work on the event loop, in pieces of some milliseconds. */
import { setImmediate as nextTurn } from 'node:timers/promises'

// What a connection may have to wait on top of everything else.
const turnMs = 1

/** Work that lets the event loop turn when it has taken long enough. */
export class Turn {
  #beganAtMs = performance.now()

  /** Asked between two steps, each of them short: a promise to wait for when the turn is over. */
  isOver(): Promise<void> | undefined {
    return performance.now() - this.#beganAtMs < turnMs ? undefined : this.#next()
  }

  async #next(): Promise<void> {
    await nextTurn()
    this.#beganAtMs = performance.now()
  }
}

// how many comparisons are made between two looks at the clock
const stepLength = 512

/**
 * A merge sort that lets the event loop turn. Stable.
 * @returns a new array
 */
export async function sortInTurns<T>(
  items: readonly T[],
  compare: (a: T, b: T) => number
): Promise<T[]> {
  const turn = new Turn()
  let runs: T[][] = []
  for (let i = 0; i < items.length; i += stepLength) {
    runs.push(items.slice(i, i + stepLength).sort(compare))
    await turn.isOver()
  }
  while (runs.length > 1) {
    const longer: T[][] = []
    for (let i = 0; i < runs.length; i += 2) {
      const [a, b] = [runs[i] as T[], runs[i + 1]] // i is inside
      longer.push(b === undefined ? a : await merge(a, b, compare, turn))
    }
    runs = longer
  }
  return runs[0] ?? []
}

async function merge<T>(
  a: readonly T[],
  b: readonly T[],
  compare: (a: T, b: T) => number,
  turn: Turn
): Promise<T[]> {
  const merged: T[] = []
  let [i, j] = [0, 0]
  while (i < a.length && j < b.length) {
    // both are inside; the first of two that are equal comes first
    if (compare(a[i] as T, b[j] as T) <= 0) merged.push(a[i++] as T)
    else merged.push(b[j++] as T)
    if (merged.length % stepLength === 0) await turn.isOver()
  }
  for (; i < a.length; i++) merged.push(a[i] as T)
  for (; j < b.length; j++) merged.push(b[j] as T)
  return merged
}

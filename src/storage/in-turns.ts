/** Long work on lists, in small pieces, with turns of the event loop in between. */
import { setImmediate as nextTurn } from 'node:timers/promises'

// Work in one turn: what a connection may have to wait on top of everything else.
const turnMs = 1
// Small enough to be sorted or looked through in a fraction of a turn.
const pieceItems = 512

/** Lets the event loop turn when the last turn has taken long enough. */
class Turn {
  #beganAtMs = performance.now()

  async mayEnd(): Promise<void> {
    if (performance.now() - this.#beganAtMs < turnMs) return
    await nextTurn()
    this.#beganAtMs = performance.now()
  }
}

/** @returns the items that a test lets through, in their order */
export async function filterInTurns<T>(
  items: readonly T[],
  isWanted: (item: T) => boolean
): Promise<T[]> {
  const turn = new Turn()
  const wanted: T[] = []
  for (let at = 0; at < items.length; at += pieceItems) {
    for (const item of items.slice(at, at + pieceItems)) if (isWanted(item)) wanted.push(item)
    await turn.mayEnd()
  }
  return wanted
}

/** A stable merge sort. @returns a new list */
export async function sortInTurns<T>(
  items: readonly T[],
  compare: (a: T, b: T) => number
): Promise<T[]> {
  const turn = new Turn()
  let runs: T[][] = []
  for (let at = 0; at < items.length; at += pieceItems) {
    runs.push(items.slice(at, at + pieceItems).sort(compare))
    await turn.mayEnd()
  }
  while (runs.length > 1) {
    const merged: T[][] = []
    for (let i = 0; i < runs.length; i += 2) {
      merged.push(await merge(runs[i] as T[], runs[i + 1] ?? [], compare, turn))
    }
    runs = merged
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
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    const takesA = j === b.length || (i < a.length && compare(a[i] as T, b[j] as T) <= 0)
    merged.push(takesA ? (a[i++] as T) : (b[j++] as T))
    if (merged.length % pieceItems === 0) await turn.mayEnd()
  }
  return merged
}

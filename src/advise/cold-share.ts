/** The share of windows that are cold, against the memory that there is for pages of the files, from a trace. */
import { LruStack } from './stack-distance.ts'

/** Bytes [start, end) of one of the files, that are asked for together. */
export interface Access {
  readonly file: number
  readonly start: number
  readonly end: number
}

export interface ColdShare {
  readonly windows: number
  /** bytes of all pages that the trace touches */
  readonly footprintBytes: number
  /** share of windows with a page that is touched for the first time: cold whatever the memory */
  readonly firstTouches: number
  /**
   * With so many bytes for pages, used by LRU. Those of the first touches are among them.
   * @returns 0 to 1
   */
  at(memoryBytes: number): number
  /** The same of the windows without a first touch: what stays when everything was touched once. */
  steadyAt(memoryBytes: number): number
}

/** A trace that touches more is counted in larger pages; some seconds of work. */
const mostTouches = 10_000_000

/**
 * @param accesses in the order of the trace
 * @param windowBytes most bytes that are sent between two checks; a window is cold if one of its pages is
 * @param pageBytes of the machine
 */
export function coldShareOf(
  accesses: readonly Access[],
  windowBytes: number,
  pageBytes: number
): ColdShare {
  const grain = grainOf(accesses, pageBytes)
  const stack = new LruStack()
  // of each window, the memory that it takes to find all of it there, in grains
  const needs: number[] = []
  for (const { file, start, end } of accesses) {
    for (let from = start; from < end; from += windowBytes) {
      const last = Math.floor((Math.min(end, from + windowBytes) - 1) / grain)
      let need = 0
      for (let page = Math.floor(from / grain); page <= last; page++) {
        // one more than were used since: the page itself
        need = Math.max(need, stack.access(file * 2 ** 40 + page) + 1)
      }
      needs.push(need)
    }
  }
  const sorted = Float64Array.from(needs).sort()
  const windows = sorted.length
  const again = countUpTo(sorted, Number.MAX_VALUE)
  const coldOf = (count: number, memoryBytes: number) =>
    count === 0 ? 0 : 1 - countUpTo(sorted, Math.floor(memoryBytes / grain)) / count
  return {
    windows,
    footprintBytes: stack.size * grain,
    firstTouches: windows === 0 ? 0 : 1 - again / windows,
    at: (memoryBytes) => (windows === 0 ? 0 : coldOf(windows, memoryBytes)),
    steadyAt: (memoryBytes) => coldOf(again, memoryBytes)
  }
}

/** Points of the curve, from a sixteenth of what is touched to all of it; each memory is twice the one before. */
export function curveOf(coldShare: ColdShare): { memoryBytes: number; share: number }[] {
  const top = 2 ** Math.ceil(Math.log2(Math.max(1, coldShare.footprintBytes)))
  return Array.from({ length: 9 }, (_, i) => top / 2 ** (8 - i)).map((memoryBytes) => ({
    memoryBytes,
    share: coldShare.at(memoryBytes)
  }))
}

/** The page size, or a larger power of two. */
function grainOf(accesses: readonly Access[], pageBytes: number): number {
  const bytes = accesses.reduce((sum, { start, end }) => sum + end - start, 0)
  let grain = pageBytes
  while (bytes / grain > mostTouches) grain *= 2
  return grain
}

/** How many are at most the limit. */
function countUpTo(sorted: Float64Array, limit: number): number {
  let [low, high] = [0, sorted.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((sorted[middle] as number) <= limit) low = middle + 1
    else high = middle
  }
  return low
}

/**
 * What was asked of each file in the last minutes: how often, how many bytes, and where. For the live page. Counted
 * for every answer, so it costs a look-up and a few additions, and no memory once a file is known.
 */
import type { ByteRange } from '../http/byte-range.ts'
import type { FileActivity, RecentRange } from './live-types.ts'

const minuteMs = 60_000
/** of which the numbers are told: the one that has begun and those before it */
export const minutes = 5
/** Equal pieces of a file, for what of it is asked for most. */
export const heatPieces = 64
// the last ranges of each file, for what was just asked for
const recentRanges = 8
const recentMs = 5000
// Files that are counted: some hundred bytes for each of their paths, and 1 KiB for the rest.
const maxFiles = 4000

interface Entry {
  readonly size: number
  /** since the process began, of the newest slot */
  minute: number
  readonly requests: number[]
  readonly bytes: number[]
  readonly heat: Float64Array
  /** first byte, last byte, performance.now(); a ring */
  readonly recent: Float64Array
  next: number
}

export class Activity {
  readonly #entries = new Map<string, Entry>()
  readonly #maxFiles: number
  // hot files are asked for again and again
  #lastPath = ''
  #last: Entry | undefined

  /** @param max files that are counted; of more, the ones that were counted first are forgotten */
  constructor(max = maxFiles) {
    this.#maxFiles = max
  }

  /**
   * An answer is over.
   * @param size of the file, in bytes
   * @param parts of its body; texts are framing
   * @param bytes of the file that the kernel took
   * @param nowMs performance.now()
   */
  count(
    path: string,
    size: number,
    parts: readonly (string | ByteRange)[],
    bytes: number,
    nowMs: number
  ): void {
    let entry = this.#last
    if (entry === undefined || path !== this.#lastPath || size !== entry.size) {
      entry = this.#entryOf(path, size)
      this.#lastPath = path
      this.#last = entry
    }
    const minute = Math.floor(nowMs / minuteMs)
    if (minute !== entry.minute) turn(entry, minute)
    const slot = minute % minutes
    entry.requests[slot] = (entry.requests[slot] as number) + 1
    entry.bytes[slot] = (entry.bytes[slot] as number) + bytes
    for (const part of parts) {
      if (typeof part !== 'string') remember(entry, part, nowMs)
    }
  }

  /** @returns undefined when nothing was asked of it lately */
  of(path: string, nowMs = performance.now()): Omit<FileActivity, 'isOpen'> | undefined {
    const entry = this.#entries.get(path)
    if (entry === undefined) return undefined
    turn(entry, Math.floor(nowMs / minuteMs))
    return {
      path,
      requests: sum(entry.requests),
      bytes: sum(entry.bytes),
      recent: recentOf(entry, nowMs),
      heat: [...entry.heat]
    }
  }

  /** Paths that were asked for in the last minutes, those with the most requests or bytes first. */
  busiest(by: 'requests' | 'bytes', most: number, nowMs = performance.now()): string[] {
    const minute = Math.floor(nowMs / minuteMs)
    const busy: { path: string; value: number }[] = []
    for (const [path, entry] of this.#entries) {
      turn(entry, minute)
      const value = sum(entry[by])
      if (value > 0) busy.push({ path, value })
    }
    busy.sort((a, b) => b.value - a.value)
    return busy.slice(0, most).map(({ path }) => path)
  }

  #entryOf(path: string, size: number): Entry {
    const known = this.#entries.get(path)
    if (known?.size === size) return known
    if (known === undefined && this.#entries.size >= this.#maxFiles) {
      for (const first of this.#entries.keys()) {
        this.#entries.delete(first)
        break
      }
    }
    const entry: Entry = {
      size,
      minute: 0,
      requests: new Array<number>(minutes).fill(0),
      bytes: new Array<number>(minutes).fill(0),
      heat: new Float64Array(heatPieces),
      recent: new Float64Array(3 * recentRanges),
      next: 0
    }
    this.#entries.set(path, entry)
    return entry
  }
}

/** A new minute: the oldest slot is used again, and what was asked for before counts half. */
function turn(entry: Entry, minute: number): void {
  const passed = Math.min(minutes, minute - entry.minute)
  for (let i = 1; i <= passed; i++) {
    const slot = (entry.minute + i) % minutes
    entry.requests[slot] = 0
    entry.bytes[slot] = 0
  }
  // a file that nobody has asked for in all these minutes has no hot pieces any more
  const factor = passed === minutes ? 0 : 0.5 ** passed
  if (passed > 0) for (let i = 0; i < heatPieces; i++) (entry.heat[i] as number) *= factor
  // the slots in between were emptied above; which slot is the newest is all that has to be known
  entry.minute = minute
}

function remember(entry: Entry, { start, end }: ByteRange, nowMs: number): void {
  const { heat, recent, size } = entry
  const first = Math.floor((start * heatPieces) / size)
  const last = Math.min(heatPieces - 1, Math.floor(((end - 1) * heatPieces) / size))
  for (let i = first; i <= last; i++) (heat[i] as number)++
  const at = 3 * entry.next
  recent[at] = start
  recent[at + 1] = end - 1
  recent[at + 2] = nowMs
  entry.next = (entry.next + 1) % recentRanges
}

function recentOf({ recent }: Entry, nowMs: number): RecentRange[] {
  const ranges: RecentRange[] = []
  for (let at = 0; at < recent.length; at += 3) {
    const agoMs = Math.round(nowMs - (recent[at + 2] as number))
    if (recent[at + 2] === 0 || agoMs > recentMs) continue
    ranges.push([recent[at] as number, recent[at + 1] as number, agoMs])
  }
  return ranges
}

/** What several processes have counted of the same file. */
export function addActivity(a: FileActivity, b: FileActivity): FileActivity {
  return {
    path: a.path,
    isOpen: a.isOpen || b.isOpen,
    requests: a.requests + b.requests,
    bytes: a.bytes + b.bytes,
    recent: [...a.recent, ...b.recent],
    heat: a.heat.length === 0 ? b.heat : a.heat.map((value, i) => value + (b.heat[i] ?? 0))
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

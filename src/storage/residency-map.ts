/**
 * Which parts of a file are in memory, for questions from outside: counted in small steps, with turns of the event
 * loop in between, so that no file is too large.
 */
import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises'
import { pageBytes } from './native/page-size.ts'
import { countResident, type ResidencyCall } from './native/residency.ts'
import type { OpenFile } from './open-file.ts'

export interface ResidencyMap {
  /** whether the kernel's answer may be believed; if not, nothing else is known */
  readonly trusted: boolean
  readonly residentBytes: number | null
  /** resident share, 0 to 1, of each of equal pieces */
  readonly cells: readonly number[]
}

// A step takes less than 0.1 ms when all its pages are in memory, so a turn is hardly longer than it should be.
const stepPages = (4 * 2 ** 20) / pageBytes
// Work in one turn of the event loop: what a connection may have to wait on top of everything else.
const turnMs = 1

/**
 * @param start bytes from the beginning of the file
 * @param end bytes, ≥ start, ≤ file.size
 * @param cells how many pieces, ≥ 1
 * @param call by which to ask; `cachestat` turns to mincore where the kernel does not have it
 * @param pauseMs between two turns of work of about 1 ms; default: only as long as others have work
 * @throws MappingError where the kernel can only be asked through a mapping, and there can be none
 */
export async function mapResidency(
  file: Pick<OpenFile, 'fd' | 'isTrusted'>,
  start: number,
  end: number,
  cells: number,
  call: ResidencyCall = 'cachestat',
  pauseMs = 0
): Promise<ResidencyMap> {
  if (!file.isTrusted) return { trusted: false, residentBytes: null, cells: [] }
  const counter = new PageCounter(file.fd, end, call, pauseMs)
  const shares: number[] = []
  let resident = 0
  /** the page in which the piece before ends and this one begins, and whether it is resident (1 or 0) */
  let shared = { page: -1, resident: 0 }
  for (let cell = 0; cell < cells && end > start; cell++) {
    const from = start + Math.floor(((end - start) * cell) / cells)
    const to = start + Math.floor(((end - start) * (cell + 1)) / cells)
    const first = Math.floor(from / pageBytes)
    // more cells than bytes: a piece without bytes of its own shows the page that it lies in
    const last = Math.floor((Math.max(to, from + 1) - 1) / pageBytes)
    const before = shared.page === first ? shared.resident : 0
    const own = shared.page === first ? first + 1 : first
    const meetsNext = cell + 1 < cells && Math.floor(to / pageBytes) === last && own <= last
    let counted = await counter.count(own, meetsNext ? last : last + 1)
    if (meetsNext) {
      shared = { page: last, resident: await counter.count(last, last + 1) }
      counted += shared.resident
    }
    resident += counted
    shares.push((before + counted) / (last - first + 1))
  }
  const residentBytes = Math.min(resident * pageBytes, end - start)
  return { trusted: true, residentBytes, cells: shares }
}

/** Counts resident pages, and lets the event loop turn when it has worked for long enough. */
class PageCounter {
  readonly #fd: number
  readonly #end: number
  #call: ResidencyCall
  readonly #pauseMs: number
  #turnBeganAtMs = performance.now()

  /** @param end bytes, where the last page of interest is cut */
  constructor(fd: number, end: number, call: ResidencyCall, pauseMs: number) {
    this.#fd = fd
    this.#end = end
    this.#call = call
    this.#pauseMs = pauseMs
  }

  /** Resident pages of [first, end), page numbers. */
  async count(first: number, end: number): Promise<number> {
    let resident = 0
    for (let page = first; page < end; page += stepPages) {
      const offset = page * pageBytes
      const next = Math.min(end, page + stepPages) * pageBytes
      resident += this.#resident(offset, Math.min(next, this.#end) - offset)
      if (performance.now() - this.#turnBeganAtMs >= turnMs) {
        if (this.#pauseMs > 0) await wait(this.#pauseMs)
        else await nextTurn()
        this.#turnBeganAtMs = performance.now()
      }
    }
    return resident
  }

  #resident(offset: number, length: number): number {
    const count = countResident(this.#fd, offset, length, this.#call)
    if (count !== undefined) return count
    this.#call = 'mincore'
    return countResident(this.#fd, offset, length, 'mincore') ?? 0
  }
}

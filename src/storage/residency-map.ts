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
const stepBytes = 4 * 2 ** 20
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
  const counter = new PageCounter(file.fd, call, pauseMs)
  const shares: number[] = []
  for (let cell = 0; cell < cells && end > start; cell++) {
    const from = start + Math.floor(((end - start) * cell) / cells)
    const to = start + Math.floor(((end - start) * (cell + 1)) / cells)
    // more cells than bytes: a piece without bytes of its own shows the page that it lies in
    shares.push((await counter.count(from, Math.max(to, from + 1))).share)
  }
  // not the sum of the cells: a page in which two of them meet is in both
  const { pages } = await counter.count(start, end)
  const residentBytes = Math.min(pages * pageBytes, end - start)
  return { trusted: true, residentBytes, cells: shares }
}

/** Counts resident pages, and lets the event loop turn when it has worked for long enough. */
class PageCounter {
  readonly #fd: number
  #call: ResidencyCall
  readonly #pauseMs: number
  #turnBeganAtMs = performance.now()

  constructor(fd: number, call: ResidencyCall, pauseMs: number) {
    this.#fd = fd
    this.#call = call
    this.#pauseMs = pauseMs
  }

  /** Resident pages among those that [start, end) touches. */
  async count(
    start: number,
    end: number
  ): Promise<{ readonly pages: number; readonly share: number }> {
    let resident = 0
    let all = 0
    for (let from = start - (start % pageBytes); from < end; from += stepBytes) {
      const length = Math.min(stepBytes, end - from)
      resident += this.#resident(from, length)
      all += Math.ceil(length / pageBytes)
      if (performance.now() - this.#turnBeganAtMs >= turnMs) {
        if (this.#pauseMs > 0) await wait(this.#pauseMs)
        else await nextTurn()
        this.#turnBeganAtMs = performance.now()
      }
    }
    return { pages: resident, share: all === 0 ? 0 : resident / all }
  }

  #resident(offset: number, length: number): number {
    const count = countResident(this.#fd, offset, length, this.#call)
    if (count !== undefined) return count
    this.#call = 'mincore'
    return countResident(this.#fd, offset, length, 'mincore') ?? 0
  }
}

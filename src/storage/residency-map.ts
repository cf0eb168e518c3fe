/** Which parts of a file are in memory, for who asks from outside: counted in steps, so that no file is too large. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { pageBytes } from './native/page-size.ts'
import { countResident } from './native/residency.ts'
import type { OpenFile } from './open-file.ts'

export interface ResidencyMap {
  /** whether the kernel's answer may be believed; if not, nothing else is known */
  readonly trusted: boolean
  readonly residentBytes: number | null
  /** resident share, 0 to 1, of each of equal pieces */
  readonly cells: readonly number[]
}

// A step takes about a millisecond of the event loop when every page of it is in memory.
const stepBytes = 64 * 2 ** 20

/**
 * @param start bytes from the beginning of the file
 * @param end bytes, ≥ start, ≤ file.size
 * @param cells how many pieces, ≥ 1
 * @throws MappingError where the kernel can only be asked through a mapping, and there can be none
 */
export async function mapResidency(
  file: OpenFile,
  start: number,
  end: number,
  cells: number
): Promise<ResidencyMap> {
  if (!file.isTrusted) return { trusted: false, residentBytes: null, cells: [] }
  const shares: number[] = []
  for (let cell = 0; cell < cells && end > start; cell++) {
    const from = start + Math.floor(((end - start) * cell) / cells)
    const to = start + Math.floor(((end - start) * (cell + 1)) / cells)
    // more cells than bytes: a piece without bytes of its own shows the page that it lies in
    shares.push((await countPages(file, from, Math.max(to, from + 1))).share)
  }
  const { pages } = await countPages(file, start, end)
  const residentBytes = Math.min(pages * pageBytes, end - start)
  return { trusted: true, residentBytes, cells: shares }
}

/** Resident pages among those that [start, end) touches. */
async function countPages(
  file: OpenFile,
  start: number,
  end: number
): Promise<{ readonly pages: number; readonly share: number }> {
  let resident = 0
  let all = 0
  for (let from = start - (start % pageBytes); from < end; from += stepBytes) {
    const length = Math.min(stepBytes, end - from)
    resident += countResident(file.fd, from, length)
    all += Math.ceil(length / pageBytes)
    if (from + stepBytes < end) await nextTurn()
  }
  return { pages: resident, share: all === 0 ? 0 : resident / all }
}

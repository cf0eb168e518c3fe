/** Letting bytes of files leave memory, because an operator wants to see what a cold one costs. */
import type { ByteRange } from '../http/byte-range.ts'
import { evict as evictPages } from './native/advice.ts'
import { pageBytes } from './native/page-size.ts'
import { countUnwritten } from './native/residency.ts'
import type { OpenFile } from './open-file.ts'
import { mapResidency } from './residency-map.ts'

export interface Eviction {
  /** bytes that left memory; null where the kernel's answer cannot be believed, as are the others */
  readonly evictedBytes: number | null
  /** bytes that are still there */
  readonly residentBytes: number | null
  /** of those, what has to be written to the disk first; null also where the kernel cannot say */
  readonly dirtyBytes: number | null
}

/**
 * Pages that a process has mapped and touched stay: let those who serve the file forget their touches before.
 * @param ranges half-open, inside the file; of a page that is only in part in one, all leaves
 */
export async function evict(file: OpenFile, ranges: readonly ByteRange[]): Promise<Eviction> {
  const pages = ranges.map(({ start, end }) => ({
    start: start - (start % pageBytes),
    end: Math.ceil(end / pageBytes) * pageBytes
  }))
  const before = await residentBytes(file, pages)
  for (const { start, end } of pages) await evictPages(file.fd, start, end - start)
  const after = await residentBytes(file, pages)
  if (before === null || after === null) {
    return { evictedBytes: null, residentBytes: null, dirtyBytes: null }
  }
  return {
    evictedBytes: Math.max(0, before - after),
    residentBytes: after,
    dirtyBytes: unwrittenBytes(file, pages)
  }
}

/** Of several ranges together; null when it cannot be known. */
export async function residentBytes(
  file: OpenFile,
  ranges: readonly ByteRange[]
): Promise<number | null> {
  let sum = 0
  for (const { start, end } of ranges) {
    const map = await mapResidency(file, start, Math.min(end, file.size), 1)
    if (map.residentBytes === null) return null
    sum += map.residentBytes
  }
  return sum
}

function unwrittenBytes(file: OpenFile, ranges: readonly ByteRange[]): number | null {
  let sum = 0
  for (const { start, end } of ranges) {
    const pages = countUnwritten(file.fd, start, end - start)
    if (pages === undefined) return null
    sum += pages * pageBytes
  }
  return sum
}

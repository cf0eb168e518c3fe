/** Asking the kernel which pages of a file are in the page cache. */
import { errno, errorName, libc } from './libc.ts'
import { type Mapping, withMapping } from './mapping.ts'
import { pageBytes } from './page-size.ts'

// <asm-generic/unistd.h>, the same number on every architecture
const NR_CACHESTAT = 451

const residencyVector = Buffer.alloc(4096)

/**
 * Whether every page of [start, end) of a mapping is in the page cache, as mincore(2) says.
 * Ask only for files whose answer can be trusted: to others the kernel claims that all is resident.
 * @param start bytes from the beginning of the mapping
 * @param end bytes, > start, ≤ the mapping's length
 */
export function isResident(mapping: Mapping, start: number, end: number): boolean {
  const aligned = start - (start % pageBytes)
  for (let from = aligned; from < end; from += residencyVector.length * pageBytes) {
    const length = Math.min(end - from, residencyVector.length * pageBytes)
    if (libc.mincore(mapping.address + from, length, residencyVector) !== 0) return false
    const pages = Math.ceil(length / pageBytes)
    // only the lowest bit of each byte is defined (mincore(2))
    for (let page = 0; page < pages; page++) {
      if (((residencyVector[page] as number) & 1) === 0) return false
    }
  }
  return true
}

/**
 * Whether mincore(2) tells this process the truth about a file: the kernel's own answer, because
 * cachestat(2) refuses (EPERM) under exactly the rule by which mincore lies. EPERM is also what a seccomp filter
 * likes to answer, so it is believed only where the call reaches the kernel.
 * @returns undefined when the kernel is older than 6.5 or a seccomp filter hides the call
 * @see mm/mincore.c can_do_mincore, mm/filemap.c can_do_cachestat
 */
export function mayAskResidency(fd: number): boolean | undefined {
  if (cachestat(fd, 0, pageBytes) !== undefined) return true
  return errorName(errno()) === 'EPERM' && reachesKernel() ? false : undefined
}

// Filters are in place when the program starts, so asking once is enough.
let isAnsweredByKernel: boolean | undefined

/**
 * Whether it is the kernel that answers cachestat(2). The kernel looks at the descriptor before anything else, and
 * says EBADF of one that cannot be open; a filter has one answer for every descriptor.
 */
function reachesKernel(): boolean {
  isAnsweredByKernel ??= cachestat(-1, 0, pageBytes) === undefined && errorName(errno()) === 'EBADF'
  return isAnsweredByKernel
}
const cachestatRange = Buffer.alloc(16)
const cachestatResult = Buffer.alloc(40)

/** A system call that reports resident pages. */
export type ResidencyCall = 'cachestat' | 'mincore'

/**
 * How many pages of [offset, offset + length) of a file are in the page cache. Ask only for files whose
 * answer can be trusted.
 * @param offset a multiple of the page size
 * @param call cachestat(2) exists since Linux 6.5; mincore(2) needs a mapping, which is made for the call
 * @returns undefined when the kernel does not answer cachestat(2)
 * @throws MappingError when mincore(2) was asked for and the file cannot be mapped
 */
export function countResident(
  fd: number,
  offset: number,
  length: number,
  call: ResidencyCall
): number | undefined {
  return call === 'cachestat' ? cachestat(fd, offset, length) : countMapped(fd, offset, length)
}

/** Pages in the page cache; undefined when the kernel does not answer. @see cachestat(2) */
function cachestat(fd: number, offset: number, length: number): number | undefined {
  cachestatRange.writeBigUInt64LE(BigInt(offset), 0)
  cachestatRange.writeBigUInt64LE(BigInt(length), 8)
  const result = libc.cachestat(NR_CACHESTAT, fd, cachestatRange, cachestatResult, 0)
  return Number(result) === 0 ? Number(cachestatResult.readBigUInt64LE(0)) : undefined
}

/**
 * How many pages of [offset, offset + length) have to be written to the disk, or are being written.
 * @returns undefined when the kernel does not answer cachestat(2)
 */
export function countUnwritten(fd: number, offset: number, length: number): number | undefined {
  if (cachestat(fd, offset, length) === undefined) return undefined
  // nr_dirty and nr_writeback of struct cachestat
  return Number(cachestatResult.readBigUInt64LE(8) + cachestatResult.readBigUInt64LE(16))
}

/** `cachestat` through a mapping that no JavaScript sees, by mincore(2) for many pages at once. */
function countMapped(fd: number, offset: number, length: number): number {
  const vector = residencyVector
  return withMapping(fd, offset, length, (address) => {
    let resident = 0
    for (let from = 0; from < length; from += vector.length * pageBytes) {
      const chunk = Math.min(length - from, vector.length * pageBytes)
      if (libc.mincore(address + from, chunk, vector) !== 0) break
      const pages = Math.ceil(chunk / pageBytes)
      for (let page = 0; page < pages; page++) resident += (vector[page] as number) & 1
    }
    return resident
  })
}

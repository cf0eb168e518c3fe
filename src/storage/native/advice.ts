/** Hints about files and memory. */
import { libc } from './libc.ts'
import { pageBytes } from './page-size.ts'

// <linux/fadvise.h>
const POSIX_FADV_RANDOM = 1
const POSIX_FADV_WILLNEED = 3
const POSIX_FADV_DONTNEED = 4
// <sys/mman.h>
const MADV_DONTNEED = 4

/**
 * Tell the kernel that bytes will be read soon, so that it reads them ahead. On the thread pool, because the
 * call itself may wait for a disk (metadata, a full queue). A hint: failures are ignored.
 * @param fd open until the promise is settled, which it is as soon as the call has returned; it is never rejected
 * @see posix_fadvise(2), POSIX_FADV_WILLNEED
 */
export function prefetch(fd: number, offset: number, length: number): Promise<void> {
  return new Promise((resolve) => {
    libc.posix_fadvise.async(fd, offset, length, POSIX_FADV_WILLNEED, () => resolve())
  })
}

/**
 * Let pages of a file leave the page cache, on the thread pool. Pages that a process has mapped and touched, that are
 * locked in memory or that are not yet written to the disk stay.
 * @param length bytes; a page that is in it only in part stays too, but for the last of the file
 * @see posix_fadvise(2), POSIX_FADV_DONTNEED
 */
export function evict(fd: number, offset: number, length: number): Promise<void> {
  return new Promise((resolve) => {
    libc.posix_fadvise.async(fd, offset, length, POSIX_FADV_DONTNEED, () => resolve())
  })
}

/**
 * Forget that pages of a mapping were touched: they stay in memory and in the mapping, and the next touch of one is a
 * minor fault. Only then can they leave the page cache.
 * @param address of its first byte, at the beginning of a page
 * @param length bytes
 * @see madvise(2), MADV_DONTNEED: of a mapping of a file it loses nothing
 */
export function untouch(address: number, length: number): void {
  libc.madvise(address, length, MADV_DONTNEED)
}

/**
 * From now on the kernel reads of an open file what is asked for, and nothing ahead.
 * @see posix_fadvise(2), POSIX_FADV_RANDOM
 */
export function disableReadahead(fd: number): void {
  libc.posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM)
}

/**
 * Give the memory of a buffer back while the buffer stays: its whole pages read as zeros from now on.
 * @param address of its first byte
 * @param length bytes
 * @see madvise(2), MADV_DONTNEED
 */
export function discard(address: number, length: number): void {
  const start = Math.ceil(address / pageBytes) * pageBytes
  const end = Math.floor((address + length) / pageBytes) * pageBytes
  if (start < end) libc.madvise(start, end - start, MADV_DONTNEED)
}

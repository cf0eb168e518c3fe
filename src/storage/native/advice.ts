/** Hints about files and memory. */
import { libc } from './libc.ts'
import { pageBytes } from './page-size.ts'

// <linux/fadvise.h>
const POSIX_FADV_RANDOM = 1
const POSIX_FADV_WILLNEED = 3
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

/** Hints about an open file that the kernel is free to ignore. */
import { libc } from './libc.ts'

// <linux/fadvise.h>
const POSIX_FADV_RANDOM = 1
const POSIX_FADV_WILLNEED = 3

/**
 * Tell the kernel that bytes will be read soon, so that it reads them ahead. On the thread pool, because the
 * call itself may wait for a disk (metadata, a full queue). A hint: failures are ignored.
 * @see posix_fadvise(2), POSIX_FADV_WILLNEED
 */
export function prefetch(fd: number, offset: number, length: number): void {
  libc.posix_fadvise.async(fd, offset, length, POSIX_FADV_WILLNEED, () => {})
}

/**
 * From now on the kernel reads of an open file what is asked for, and nothing ahead.
 * @see posix_fadvise(2), POSIX_FADV_RANDOM
 */
export function disableReadahead(fd: number): void {
  libc.posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM)
}

/** Reading what the page cache holds, and nothing that would have to be waited for. */
import { constants } from 'node:os'
import { IoVector } from './io-vector.ts'
import { errno, libc } from './libc.ts'

// <linux/fs.h>
const RWF_NOWAIT = 0x8
const { EAGAIN } = constants.errno

const ioVector = new IoVector(1)

/**
 * Copy bytes that are in the page cache already, without ever waiting for a disk; a miss starts readahead.
 * @param into address of at least `length` bytes (`addressOf`), which stay allocated until the call returns
 * @param position bytes from the beginning of the file
 * @returns bytes copied, possibly fewer than `length`; 0 on a miss (or at the end of the file);
 *   'unsupported' where the file system has no such read (FUSE, tmpfs, overlayfs)
 * @see preadv2(2), RWF_NOWAIT
 */
export function readCached(
  fd: number,
  into: number,
  length: number,
  position: number
): number | 'unsupported' {
  ioVector.set(0, into, length)
  const count: number = libc.preadv2(fd, ioVector.address, 1, position, RWF_NOWAIT)
  if (count >= 0) return count
  return errno() === EAGAIN ? 0 : 'unsupported'
}

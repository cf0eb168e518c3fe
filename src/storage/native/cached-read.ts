/** Reading what the page cache holds, and nothing that would have to be waited for. */
import { addressOf, errno, errorName, libc } from './libc.ts'

// <linux/fs.h>
const RWF_NOWAIT = 0x8

const ioVector = Buffer.alloc(16)

/**
 * Copy bytes that are in the page cache already, without ever waiting for a disk; a miss starts readahead.
 * @param into at least `length` bytes
 * @param position bytes from the beginning of the file
 * @returns bytes copied, possibly fewer than `length`; 0 on a miss (or at the end of the file);
 *   'unsupported' where the file system has no such read (FUSE, tmpfs, overlayfs)
 * @see preadv2(2), RWF_NOWAIT
 */
export function readCached(
  fd: number,
  into: Buffer,
  length: number,
  position: number
): number | 'unsupported' {
  ioVector.writeBigUInt64LE(addressOf(into), 0)
  ioVector.writeBigUInt64LE(BigInt(length), 8)
  const count = Number(libc.preadv2(fd, ioVector, 1, position, RWF_NOWAIT))
  if (count >= 0) return count
  return errorName(errno()) === 'EAGAIN' ? 0 : 'unsupported'
}

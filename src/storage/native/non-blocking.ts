/** Descriptors on which no call waits. */
import { constants } from 'node:os'
import { addressOf, errno, libc } from './libc.ts'

// <fcntl.h>
const F_GETFL = 3
const F_SETFL = 4
const O_NONBLOCK = 0o4000
const { EAGAIN } = constants.errno

/**
 * From now on a read or write that would have to wait fails with EAGAIN, in every process that has the descriptor from
 * the same opening.
 * @see fcntl(2)
 */
export function setNonBlocking(fd: number): void {
  const flags = libc.fcntl(fd, F_GETFL, 0)
  if (flags >= 0) libc.fcntl(fd, F_SETFL, flags | O_NONBLOCK)
}

/**
 * Write to a descriptor that is non-blocking, without an exception where the other side takes nothing.
 * @param bytes not empty
 * @returns bytes taken; 0: it would have to wait; or a negated errno, such as EPIPE
 * @see write(2)
 */
export function writeNow(fd: number, bytes: Buffer): number {
  const count: number = libc.write(fd, addressOf(bytes), bytes.length)
  if (count >= 0) return count
  const error = errno()
  return error === EAGAIN ? 0 : -error
}

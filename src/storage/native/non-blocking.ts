/** Descriptors on which no call waits. */
import { libc } from './libc.ts'

// <fcntl.h>
const F_GETFL = 3
const F_SETFL = 4
const O_NONBLOCK = 0o4000

/**
 * From now on a read or write that would have to wait fails with EAGAIN, in every process that has the descriptor from
 * the same opening.
 * @see fcntl(2)
 */
export function setNonBlocking(fd: number): void {
  const flags = libc.fcntl(fd, F_GETFL, 0)
  if (flags >= 0) libc.fcntl(fd, F_SETFL, flags | O_NONBLOCK)
}

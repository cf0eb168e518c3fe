/**
 * Taking connections from a listening socket, and sending on a connected one without a trip through JavaScript
 * streams: bytes are named by address, so that mapped memory is read by the kernel alone.
 */
import { constants } from 'node:os'
import { IoVector } from './io-vector.ts'
import { addressOf, errno, libc } from './libc.ts'

// <linux/socket.h>
const MSG_DONTWAIT = 0x40
const MSG_NOSIGNAL = 0x4000
// <asm-generic/ioctls.h>; PowerPC counts its own way (<asm/ioctls.h>)
const SIOCOUTQ = process.arch === 'ppc64' ? 0x40047473 : 0x5411
// <bits/socket_type.h>: those of open(2) on every machine but Alpha and SPARC, which Node does not run on
const SOCK_NONBLOCK = 0o4000
const SOCK_CLOEXEC = 0o2000000
const { EAGAIN } = constants.errno

const vector = new IoVector(2)

// one object, because the address is valid only as long as the bytes can be reached
const message = messageHeader()

/**
 * Send a head and a body with one system call, as much of both as the socket takes now. It never waits for the
 * socket and never raises SIGPIPE; it does wait for the disk when the body is a mapping with cold pages.
 *
 * The kernel copies: what it took is sent as it was during the call, whatever happens to the memory afterwards.
 * It gathers up to 32 KiB before it notices an unreadable address, and takes nothing of such a piece: of a
 * mapping whose file was truncated it takes less than what is left, then EFAULT, with a head in the same
 * piece not sent either.
 * @param fd of a connected, open stream socket for which nothing else waits to be written
 * @param head address of the first byte to send (`addressOf`)
 * @param headLength bytes, may be 0
 * @param body address of what follows the head, as `Mapping.address` gives it; never looked at by JavaScript
 * @param bodyLength bytes, may be 0
 * @returns bytes taken, from 0 (it would block) to headLength + bodyLength; or a negated errno, for `errorName`:
 *   EFAULT (revoked or truncated mapping), EPIPE or ECONNRESET (the peer is gone), ENOBUFS, EBADF …
 * @see sendmsg(2)
 */
export function sendNow(
  fd: number,
  head: number,
  headLength: number,
  body: number,
  bodyLength: number
): number {
  vector.set(0, head, headLength)
  vector.set(1, body, bodyLength)
  const count: number = libc.sendmsg(fd, message.address, MSG_NOSIGNAL | MSG_DONTWAIT)
  if (count >= 0) return count
  const error = errno()
  return error === EAGAIN ? 0 : -error
}

/** struct msghdr of a 64-bit machine: msg_iov at 16, msg_iovlen at 24; the rest is zero for a connected socket. */
function messageHeader(): { readonly bytes: Buffer; readonly address: number } {
  const bytes = Buffer.alloc(56)
  bytes.writeBigUInt64LE(BigInt(vector.address), 16)
  bytes.writeUInt32LE(2, 24)
  return { bytes, address: addressOf(bytes) }
}

const queued = Buffer.alloc(8)

/**
 * Bytes in a TCP socket's send queue that the peer has not acknowledged yet, those that were not even sent included.
 * @returns a negated errno where the kernel refuses
 * @see tcp(7), SIOCOUTQ
 */
export function queuedBytes(fd: number): number {
  return libc.ioctl(fd, SIOCOUTQ, queued) === 0 ? queued.readInt32LE(0) : -errno()
}

/**
 * Take the next connection that waits on a listening socket, if there is one.
 * @param fd of a listening, non-blocking stream socket
 * @returns a descriptor that the caller owns, non-blocking and closed by exec; or a negated errno: EAGAIN (none
 *   waits), EMFILE or ENFILE (no descriptor is left; the connection goes on waiting), ECONNABORTED, EBADF …
 * @see accept4(2)
 */
export function acceptNow(fd: number): number {
  const accepted: number = libc.accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC)
  return accepted >= 0 ? accepted : -errno()
}

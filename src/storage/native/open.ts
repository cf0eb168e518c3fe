/**
 * Opening files whose names the kernel has in memory, without a wait for a disk, a server or a daemon, and closing
 * descriptors at once.
 *
 * A file is found first, which has no effects on whatever it is, and opened for reading when its type is known: to
 * open a FIFO lets its writer go on, and to open a device can do anything.
 */
import fs, { constants } from 'node:fs'
import os from 'node:os'
import { addressOf, errno, libc } from './libc.ts'

// <asm-generic/unistd.h>, the same number on every architecture
const NR_OPENAT2 = 437
// <linux/openat2.h>
const RESOLVE_NO_MAGICLINKS = 0x02
const RESOLVE_NO_SYMLINKS = 0x04
const RESOLVE_BENEATH = 0x08
const RESOLVE_CACHED = 0x20
// <fcntl.h>, the same on every architecture that Linux and Node share; node:fs does not have them
const AT_FDCWD = -100
const O_PATH = 0o10000000
const O_CLOEXEC = 0o2000000

// PATH_MAX, with the NUL at the end
const maxPathBytes = 4096
// three bytes for a UTF-16 unit at the most
const pathBytes = Buffer.alloc(3 * maxPathBytes + 1)
const pathAddress = addressOf(pathBytes)

/** struct open_how of openat2(2): flags, mode, resolve. */
class How {
  readonly address: number
  readonly #bytes = Buffer.alloc(24)

  constructor(flags: number, resolve: number) {
    this.#bytes.writeBigUInt64LE(BigInt(flags), 0)
    this.#bytes.writeBigUInt64LE(BigInt(resolve), 16)
    this.address = addressOf(this.#bytes)
  }
}

const asRoot = new How(O_PATH | O_CLOEXEC | constants.O_DIRECTORY, RESOLVE_CACHED)
const withoutLinks = new How(O_PATH | O_CLOEXEC, RESOLVE_CACHED | RESOLVE_NO_SYMLINKS)
const below = new How(
  O_PATH | O_CLOEXEC,
  RESOLVE_CACHED | RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS
)
const belowByLinks = new How(
  O_PATH | O_CLOEXEC,
  RESOLVE_CACHED | RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS
)

/**
 * Find what an absolute path without a single symbolic link names.
 * @returns a descriptor that names it (O_PATH) and that the caller closes; or a negated errno: EAGAIN (a name of it
 *   is not in memory), ELOOP (a link), ENOENT (known not to be there), ENOSYS, EINVAL or EPERM (no such call here) …
 * @see openat2(2), RESOLVE_CACHED since Linux 5.12
 */
export function findCached(path: string): number {
  return openat2(AT_FDCWD, path, withoutLinks)
}

/** The same of a folder, whatever links lead to it. */
export function findCachedRoot(path: string): number {
  return openat2(AT_FDCWD, path, asRoot)
}

/**
 * The same of a path below a folder, which it cannot leave: EXDEV.
 * @param rootFd of `findCachedRoot`
 * @param followsLinks false: ELOOP on a symbolic link
 */
export function findCachedBelow(rootFd: number, path: string, followsLinks: boolean): number {
  return openat2(rootFd, path, followsLinks ? belowByLinks : below)
}

function openat2(dirfd: number, path: string, how: How): number {
  if (path.length >= maxPathBytes) return -os.constants.errno.ENAMETOOLONG
  pathBytes[pathBytes.write(path, 'utf8')] = 0
  const fd: number = libc.openat2(NR_OPENAT2, dirfd, pathAddress, how.address, 24)
  return fd >= 0 ? fd : -errno()
}

/**
 * Open for reading what was found: the very same file, wherever its name points by now. Only for a regular file of
 * a local file system; where another process holds a lease on it, EAGAIN.
 * @param found a descriptor that names it (O_PATH)
 * @returns a descriptor that the caller closes; or a negated errno: EACCES, EMFILE …
 * @see proc_pid_fd(5)
 */
export function openFound(found: number): number {
  // opened once, for as long as the process runs: its own folder of descriptors
  ownDescriptors ??= openOwnDescriptors()
  let end = found < 10 ? 1 : Math.floor(Math.log10(found)) + 1
  pathBytes[end] = 0
  for (let rest = found; end > 0; rest = Math.floor(rest / 10)) pathBytes[--end] = 48 + (rest % 10)
  const { O_RDONLY, O_NONBLOCK, O_NOCTTY } = constants
  const fd: number = libc.openat(
    ownDescriptors,
    pathAddress,
    O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC
  )
  return fd >= 0 ? fd : -errno()
}
let ownDescriptors: number | undefined

function openOwnDescriptors(): number {
  try {
    return fs.openSync('/proc/self/fd', O_PATH | constants.O_DIRECTORY)
  } catch {
    // without /proc nothing can be opened by way of it: EBADF
    return -1
  }
}

/** Close a descriptor of which it is certain that this does not wait. It is free afterwards, whatever close(2) says. */
export function closeNow(fd: number): void {
  libc.close(fd)
}

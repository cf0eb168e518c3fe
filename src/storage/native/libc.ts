/**
 * The functions of the C library that the other files of this folder call, bound once through koffi. Nothing
 * outside this folder imports it.
 */
import { getSystemErrorName } from 'node:util'

const koffi = loadKoffi()
const lib = koffi.load(null)

/**
 * Addresses are passed as integers: on Linux they stay below 2^57, in practice below 2^47, so that a JavaScript
 * number holds them exactly.
 */
export const libc = {
  getpagesize: lib.func('int getpagesize()'),
  mmap: lib.func(
    'int64_t mmap(intptr_t addr, size_t length, int prot, int flags, int fd, int64_t offset)'
  ),
  munmap: lib.func('int munmap(intptr_t addr, size_t length)'),
  madvise: lib.func('int madvise(intptr_t addr, size_t length, int advice)'),
  mlock: lib.func('int mlock(intptr_t addr, size_t length)'),
  mlock2: lib.func('int mlock2(intptr_t addr, size_t length, unsigned int flags)'),
  munlock: lib.func('int munlock(intptr_t addr, size_t length)'),
  mincore: lib.func('int mincore(intptr_t addr, size_t length, void *vec)'),
  preadv2: lib.func('int64_t preadv2(int fd, intptr_t iov, int count, int64_t offset, int flags)'),
  posix_fadvise: lib.func('int posix_fadvise(int fd, int64_t offset, int64_t len, int advice)'),
  statx: lib.func('int statx(int dirfd, void *path, int flags, uint32_t mask, void *buf)'),
  accept4: lib.func('int accept4(int fd, void *address, void *length, int flags)'),
  sendmsg: lib.func('int64_t sendmsg(int fd, intptr_t message, int flags)'),
  ioctl: lib.func('int ioctl(int fd, size_t request, void *value)'),
  fcntl: lib.func('int fcntl(int fd, int command, int value)'),
  openat2: lib.func(
    'int syscall(int64_t number, int64_t dirfd, intptr_t path, intptr_t how, int64_t size)'
  ),
  openat: lib.func('int openat(int dirfd, intptr_t path, int flags)'),
  close: lib.func('int close(int fd)'),
  write: lib.func('int64_t write(int fd, intptr_t bytes, size_t length)'),
  getrusage: lib.func('int getrusage(int who, void *usage)'),
  cachestat: lib.func(
    'int64_t syscall(int64_t number, int64_t fd, void *range, void *stat, int64_t flags)'
  )
}

/** @returns the errno of the last call on this thread */
export const errno = koffi.errno as () => number

/**
 * The address of the first byte of a Buffer; valid as long as the Buffer, or another view of its memory, can be
 * reached. Memory of a Buffer does not move.
 */
export function addressOf(bytes: Uint8Array): number {
  return Number(koffi.address(bytes))
}

/** Memory at an address as an ArrayBuffer, which neither owns nor unmaps it. */
export function viewOf(address: number, length: number): ArrayBuffer {
  return koffi.view(BigInt(address), length)
}

/** @param error an errno, > 0 */
export function errorName(error: number): string {
  try {
    return getSystemErrorName(-error)
  } catch {
    return `errno ${error}`
  }
}

// koffi's binaries (Linux on x64, arm64, arm, ia32, riscv64, loong64, ppc64) are optional dependencies of it: an
// installation without those leaves nothing to load.
function loadKoffi(): typeof import('koffi') {
  try {
    return require('koffi') as typeof import('koffi')
  } catch (cause) {
    throw new Error(
      `koffi, which calls the C library, could not be loaded on ${process.platform} ${process.arch}: is it installed with its optional dependencies?`,
      { cause }
    )
  }
}

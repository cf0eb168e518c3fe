/**
 * The only code that imports mmap-io or koffi: typed, range-checked calls into the kernel.
 * It owns no state but scratch buffers, and knows nothing of files that are served.
 *
 * A mapped Buffer may be handed to a socket write and to nothing else. When the file shrinks, the kernel's
 * copy fails with EFAULT on that one socket; a touch by JavaScript, a hash, a compressor or TLS would be a
 * SIGBUS that ends the process and that JavaScript cannot catch. Never listen for SIGBUS: with a listener
 * the process hangs instead of dying.
 */
import { type BigIntStats, constants, fstatSync, statSync } from 'node:fs'
import { getSystemErrorName } from 'node:util'
import mmapIo from 'mmap-io'

/** One extent of a file in memory. Addresses on Linux stay below 2^57, in practice below 2^47. */
export interface Mapping {
  /** shares memory with the mapping; valid until `letGo` */
  readonly bytes: Buffer
  /** where it begins; 0 when koffi is missing */
  readonly address: number
}

/** What `mmap` or `letGo` refused, with the error's name as the kernel gives it. */
export class MappingError extends Error {
  readonly reason: string
  constructor(reason: string, options?: ErrorOptions) {
    super(`a region could not be mapped: ${reason}`, options)
    this.reason = reason
  }
}

/** The content of a file, as far as stat(2) can tell: two of these that are equal mean the same bytes. */
export interface Generation {
  readonly dev: bigint
  readonly ino: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
}

// mmap-io's own type declarations describe constants as types; these are the calls as they are.
interface MmapIo {
  map(size: number, protection: number, flags: number, fd: number, offset: number): Buffer
  incore(buffer: Buffer): [absent: number, resident: number]
  readonly PAGESIZE: number
}
const addon = mmapIo as unknown as MmapIo

export const pageBytes = addon.PAGESIZE

// <sys/mman.h>, the same on every architecture that Linux and Node share
const PROT_NONE = 0
const PROT_READ = 1
const MAP_SHARED = 0x01
const MAP_PRIVATE = 0x02
const MAP_FIXED = 0x10
const MAP_ANONYMOUS = 0x20
const MAP_NORESERVE = 0x4000
// <fcntl.h>, <linux/stat.h>
const AT_FDCWD = -100
const AT_EMPTY_PATH = 0x1000
const STATX_TYPE_MODE_INO_SIZE_MTIME = 0x0001 | 0x0002 | 0x0100 | 0x0200 | 0x0040
const POSIX_FADV_RANDOM = 1
const POSIX_FADV_WILLNEED = 3
const RWF_NOWAIT = 0x8
const RUSAGE_THREAD = 1
const NR_CACHESTAT = 451
const MADV_POPULATE_READ = 22

const libc = loadLibc()

/** Whether koffi runs on this platform. Without it no region beyond 2 GiB is mapped and none is let go early. */
export const hasLibc = libc !== undefined

/** mmap-io passes size and offset through a 32-bit int: what it maps must end below this offset. */
export const mmapIoReach = 2 ** 31

/**
 * Map `length` bytes of a file, read-only and shared.
 * @param fd of a regular file, open for reading
 * @param offset bytes, a multiple of the page size, ≥ 0
 * @param length bytes, > 0; offset + length must not pass the end of the file's last page
 * @throws MappingError with the kernel's reason (ENODEV, ENOMEM, EACCES …), or `unsupported` when the
 *   extent is beyond mmap-io's reach and koffi does not run here
 * @see mmap(2); https://github.com/ozra/mmap-io/issues/31
 */
export function map(fd: number, offset: number, length: number): Mapping {
  if (offset + length < mmapIoReach) {
    const bytes = mapByMmapIo(fd, offset, length)
    return { bytes, address: libc === undefined ? 0 : Number(libc.address(bytes)) }
  }
  if (libc === undefined) throw new MappingError('unsupported')
  const address = Number(libc.mmap(0, length, PROT_READ, MAP_SHARED, fd, offset))
  if (address === -1) throw new MappingError(errorName(libc.errno()))
  const bytes = Buffer.from(libc.view(BigInt(address), length))
  reservations.register(bytes.buffer, { address, length })
  return { bytes, address }
}

function mapByMmapIo(fd: number, offset: number, length: number): Buffer {
  try {
    return addon.map(length, PROT_READ, MAP_SHARED, fd, offset)
  } catch (error) {
    // its errors carry errno as the number at the end of the message
    const errno = /(\d+)$/.exec(error instanceof Error ? error.message : '')?.[1]
    throw new MappingError(errno === undefined ? 'unknown' : errorName(Number(errno)), {
      cause: error
    })
  }
}

/**
 * Give a mapping's file and pages back at once, whether or not its Buffer is ever collected: an anonymous,
 * inaccessible mapping is laid over it. A late write of the Buffer then fails with EFAULT instead of sending
 * another file's bytes, and the collector's munmap later finds only what is its own.
 * Without koffi nothing happens here, and the collector unmaps in its own time.
 * @throws MappingError when the kernel refuses (ENOMEM at vm.max_map_count)
 * @see mmap(2), MAP_FIXED
 */
export function letGo(mapping: Mapping): void {
  if (libc === undefined) return
  const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE
  const result = libc.mmap(mapping.address, mapping.bytes.length, PROT_NONE, flags, -1, 0)
  if (Number(result) === -1) throw new MappingError(errorName(libc.errno()))
}

// A mapping that koffi made has no collector to unmap it: its address range, inaccessible since letGo, is
// given back once no JavaScript can reach its Buffer.
const reservations = new FinalizationRegistry<{ address: number; length: number }>((reserved) => {
  libc?.munmap(reserved.address, reserved.length)
})

/**
 * Fault pages of a mapping in, as if each were read; beyond the end of the file nothing happens.
 * @param start bytes from the beginning of the mapping
 * @see madvise(2), MADV_POPULATE_READ (Linux 5.14)
 */
export function populate(mapping: Mapping, start: number, end: number): void {
  const aligned = start - (start % pageBytes)
  libc?.madvise(mapping.address + aligned, end - aligned, MADV_POPULATE_READ)
}

const residencyVector = Buffer.alloc(4096)

/**
 * Whether every page of [start, end) of a mapping is in the page cache, as mincore(2) says.
 * Ask only for files whose answer can be trusted: to others the kernel claims that all is resident.
 * @param start bytes from the beginning of the mapping
 * @param end bytes, > start, ≤ the mapping's length
 */
export function isResident(mapping: Mapping, start: number, end: number): boolean {
  const aligned = start - (start % pageBytes)
  if (libc === undefined) return addon.incore(mapping.bytes.subarray(aligned, end))[0] === 0
  for (let from = aligned; from < end; from += residencyVector.length * pageBytes) {
    const length = Math.min(end - from, residencyVector.length * pageBytes)
    if (libc.mincore(mapping.address + from, length, residencyVector) !== 0) return false
    const pages = Math.ceil(length / pageBytes)
    // only the lowest bit of each byte is defined (mincore(2))
    for (let page = 0; page < pages; page++) {
      if (((residencyVector[page] as number) & 1) === 0) return false
    }
  }
  return true
}

/**
 * Whether mincore(2) tells this process the truth about a file: the kernel's own answer, because
 * cachestat(2) refuses (EPERM) under exactly the rule by which mincore lies.
 * @returns undefined when the kernel is older than 6.5 or a seccomp filter hides the call
 * @see mm/mincore.c can_do_mincore, mm/filemap.c can_do_cachestat
 */
export function mayAskResidency(fd: number): boolean | undefined {
  if (libc === undefined) return undefined
  if (cachestat(fd, 0, pageBytes) !== undefined) return true
  return errorName(libc.errno()) === 'EPERM' ? false : undefined
}
const cachestatRange = Buffer.alloc(16)
const cachestatResult = Buffer.alloc(40)

/**
 * How many pages of [offset, offset + length) of a file are in the page cache. Ask only for files whose
 * answer can be trusted.
 * @param offset a multiple of the page size
 * @throws MappingError on kernels before 6.5, which can be asked only through a mapping, when there can be none
 * @see cachestat(2), mincore(2)
 */
export function countResident(fd: number, offset: number, length: number): number {
  const count = cachestat(fd, offset, length)
  if (count !== undefined) return count
  const mapping = map(fd, offset, length)
  try {
    let resident = 0
    for (let from = 0; from < length; from += pageBytes) {
      if (isResident(mapping, from, Math.min(from + pageBytes, length))) resident++
    }
    return resident
  } finally {
    letGo(mapping)
  }
}

/** Pages in the page cache; undefined when the kernel does not answer. */
function cachestat(fd: number, offset: number, length: number): number | undefined {
  if (libc === undefined) return undefined
  cachestatRange.writeBigUInt64LE(BigInt(offset), 0)
  cachestatRange.writeBigUInt64LE(BigInt(length), 8)
  const result = libc.syscall(NR_CACHESTAT, fd, cachestatRange, cachestatResult, 0)
  return Number(result) === 0 ? Number(cachestatResult.readBigUInt64LE(0)) : undefined
}

const ioVector = Buffer.alloc(16)

/**
 * Copy bytes that are in the page cache already, without ever waiting for a disk; a miss starts readahead.
 * @param into at least `length` bytes
 * @param position bytes from the beginning of the file
 * @returns bytes copied, possibly fewer than `length`; 0 on a miss (or at the end of the file);
 *   'unsupported' where the file system has no such read (FUSE, tmpfs, overlayfs) or koffi does not run
 * @see preadv2(2), RWF_NOWAIT
 */
export function readCached(
  fd: number,
  into: Buffer,
  length: number,
  position: number
): number | 'unsupported' {
  if (libc === undefined) return 'unsupported'
  ioVector.writeBigUInt64LE(libc.address(into), 0)
  ioVector.writeBigUInt64LE(BigInt(length), 8)
  const count = Number(libc.preadv2(fd, ioVector, 1, position, RWF_NOWAIT))
  if (count >= 0) return count
  return errorName(libc.errno()) === 'EAGAIN' ? 0 : 'unsupported'
}

/**
 * Tell the kernel that bytes will be read soon, so that it reads them ahead. On the thread pool, because the
 * call itself may wait for a disk (metadata, a full queue). A hint: failures are nobody's business.
 * @see posix_fadvise(2), POSIX_FADV_WILLNEED
 */
export function announce(fd: number, offset: number, length: number): void {
  libc?.posix_fadvise.async(fd, offset, length, POSIX_FADV_WILLNEED, () => {})
}

/**
 * From now on the kernel reads of an open file what is asked for, and nothing ahead.
 * @see posix_fadvise(2), POSIX_FADV_RANDOM
 */
export function forgoReadahead(fd: number): void {
  libc?.posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM)
}

const statxBuffer = Buffer.alloc(256)

/**
 * The generation of what a path (symlinks followed) names now; synchronous, so only for what cannot wait.
 * @param path absolute, as bytes ended by NUL
 * @returns undefined when nothing is there, or not a regular file
 */
export function statPath(path: Buffer): Generation | undefined {
  if (libc === undefined)
    return statOrUndefined(() => statSync(path.subarray(0, -1), { bigint: true }))
  return statx(AT_FDCWD, path, 0) ? generationInBuffer() : undefined
}

/**
 * Whether a path still names a given generation: `statPath` without the allocations, for the hot path.
 * @param path absolute, as bytes ended by NUL
 */
export function pathStillNames(path: Buffer, known: GenerationKey): boolean {
  if (libc === undefined) {
    const now = statPath(path)
    return now !== undefined && sameGeneration(now, known.generation)
  }
  return statx(AT_FDCWD, path, 0) && bufferMatches(known)
}

/** Whether an open file still has the content of a given generation. @see statx(2) */
export function fdStillHas(fd: number, known: GenerationKey): boolean {
  if (libc === undefined) {
    return sameGeneration(fstatSync(fd, { bigint: true }), known.generation)
  }
  return statx(fd, emptyPath, AT_EMPTY_PATH) && bufferMatches(known)
}
const emptyPath = Buffer.from('\0')

/** A generation in the form that the hot path compares: the 32-bit words of statx(2)'s answer. */
export interface GenerationKey {
  readonly generation: Generation
  readonly words: Int32Array
}

const second = 1_000_000_000n

/** @see statx(2) for the layout, which is the same on every architecture */
export function generationKey(generation: Generation): GenerationKey {
  const raw = Buffer.alloc(256)
  raw.writeBigUInt64LE(generation.ino, 32)
  raw.writeBigUInt64LE(generation.size, 40)
  // counted from the second before, for dates before 1970 too
  const nanoseconds = ((generation.mtimeNs % second) + second) % second
  raw.writeBigInt64LE((generation.mtimeNs - nanoseconds) / second, 112)
  raw.writeUInt32LE(Number(nanoseconds), 120)
  raw.writeUInt32LE(deviceMajor(generation.dev), 136)
  raw.writeUInt32LE(deviceMinor(generation.dev), 140)
  return { generation, words: new Int32Array(raw.buffer, raw.byteOffset, 64) }
}

export function sameGeneration(a: Generation, b: Generation): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.ino === b.ino && a.dev === b.dev
}

const statxWords = new Int32Array(statxBuffer.buffer, statxBuffer.byteOffset, 64)
// which words of statx(2)'s answer make a generation: ino, size, mtime seconds and nanoseconds, device
const generationWords = [8, 9, 10, 11, 28, 29, 30, 34, 35] as const

function statx(dirfd: number, path: Buffer, flags: number): boolean {
  // 0o170000 is S_IFMT, 0o100000 S_IFREG: what has become a folder or a FIFO is not the file any more
  return (
    libc?.statx(dirfd, path, flags, STATX_TYPE_MODE_INO_SIZE_MTIME, statxBuffer) === 0 &&
    (statxBuffer.readUInt16LE(28) & constants.S_IFMT) === constants.S_IFREG
  )
}

function bufferMatches(known: GenerationKey): boolean {
  for (const word of generationWords) {
    if (statxWords[word] !== known.words[word]) return false
  }
  return true
}

function generationInBuffer(): Generation {
  return {
    dev: device(statxBuffer.readUInt32LE(136), statxBuffer.readUInt32LE(140)),
    ino: statxBuffer.readBigUInt64LE(32),
    size: statxBuffer.readBigUInt64LE(40),
    mtimeNs: statxBuffer.readBigInt64LE(112) * second + BigInt(statxBuffer.readUInt32LE(120))
  }
}

// glibc's dev_t, as stat(2) gives it to Node: gnu_dev_makedev(3)
function device(major: number, minor: number): bigint {
  const [M, m] = [BigInt(major), BigInt(minor)]
  return (
    ((M & 0xfffff000n) << 32n) | ((M & 0xfffn) << 8n) | ((m & 0xffffff00n) << 12n) | (m & 0xffn)
  )
}
function deviceMajor(dev: bigint): number {
  return Number(((dev >> 32n) & 0xfffff000n) | ((dev >> 8n) & 0xfffn))
}
function deviceMinor(dev: bigint): number {
  return Number(((dev >> 12n) & 0xffffff00n) | (dev & 0xffn))
}

function statOrUndefined(stat: () => BigIntStats): Generation | undefined {
  try {
    const stats = stat()
    return stats.isFile() ? stats : undefined
  } catch {
    return undefined
  }
}

const rusage = Buffer.alloc(144)

/**
 * Page faults of the calling thread alone since it began: in Node, of the event loop.
 * @returns undefined where koffi does not run
 * @see getrusage(2), RUSAGE_THREAD
 */
export function threadFaults(): { minor: number; major: number } | undefined {
  if (libc === undefined || libc.getrusage(RUSAGE_THREAD, rusage) !== 0) return undefined
  return { minor: Number(rusage.readBigInt64LE(64)), major: Number(rusage.readBigInt64LE(72)) }
}

function errorName(errno: number): string {
  try {
    return getSystemErrorName(-errno)
  } catch {
    return `errno ${errno}`
  }
}

// koffi ships a binary for each platform it knows; on others its import throws, and we do without.
function loadLibc() {
  try {
    // a plain import would end the process on a platform without koffi's binary
    const koffi = require('koffi') as typeof import('koffi')
    const lib = koffi.load(null)
    return {
      mmap: lib.func(
        'int64_t mmap(intptr_t addr, size_t length, int prot, int flags, int fd, int64_t offset)'
      ),
      munmap: lib.func('int munmap(intptr_t addr, size_t length)'),
      madvise: lib.func('int madvise(intptr_t addr, size_t length, int advice)'),
      mincore: lib.func('int mincore(intptr_t addr, size_t length, void *vec)'),
      preadv2: lib.func('int64_t preadv2(int fd, void *iov, int count, int64_t offset, int flags)'),
      posix_fadvise: lib.func('int posix_fadvise(int fd, int64_t offset, int64_t len, int advice)'),
      statx: lib.func('int statx(int dirfd, void *path, int flags, uint32_t mask, void *buf)'),
      getrusage: lib.func('int getrusage(int who, void *usage)'),
      syscall: lib.func(
        'int64_t syscall(int64_t number, int64_t fd, void *range, void *stat, int64_t flags)'
      ),
      address: koffi.address,
      view: koffi.view,
      errno: koffi.errno as () => number
    }
  } catch {
    return undefined
  }
}

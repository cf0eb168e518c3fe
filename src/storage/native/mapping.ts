/**
 * Mapping files into memory, and making mappings inaccessible again. The only file that imports mmap-io.
 *
 * Mapped bytes may be named to the kernel by their address (`sendNow` of sockets.ts) and used for nothing else.
 * When the file shrinks, the kernel's copy fails with EFAULT for that one socket; a touch by JavaScript, a hash, a
 * compressor or TLS would be a SIGBUS that ends the process and that JavaScript cannot catch. Never listen for
 * SIGBUS: with a listener the process hangs instead of dying.
 */
import { addressOf, errno, errorName, libc, viewOf } from './libc.ts'
import { pageBytes } from './page-size.ts'

/** One extent of a file in memory. */
export interface Mapping {
  /** shares memory with the mapping; valid until `revoke` */
  readonly bytes: Buffer
  /** where it begins, < 2^53 */
  readonly address: number
}

/** `map` or `revoke` was refused; `reason` is the name of the kernel's error. */
export class MappingError extends Error {
  readonly reason: string
  constructor(reason: string, options?: ErrorOptions) {
    super(`a region could not be mapped: ${reason}`, options)
    this.reason = reason
  }
}

// mmap-io's own type declarations describe constants as types; this is the call as it is.
interface MmapIo {
  map(size: number, protection: number, flags: number, fd: number, offset: number): Buffer
}
const mmapIo = loadMmapIo()

/** What maps below `mmapIoReach`: mmap-io, or koffi on a machine where mmap-io could not be built. */
export const mapper: 'mmap-io' | 'koffi' = mmapIo === undefined ? 'koffi' : 'mmap-io'

// <sys/mman.h>, the same on every architecture that Linux and Node share
const PROT_NONE = 0
const PROT_READ = 1
const MAP_SHARED = 0x01
const MAP_PRIVATE = 0x02
const MAP_FIXED = 0x10
const MAP_ANONYMOUS = 0x20
const MAP_NORESERVE = 0x4000
const MADV_POPULATE_READ = 22

/** mmap-io passes size and offset through a 32-bit int: what it maps must end below this offset. */
export const mmapIoReach = 2 ** 31

/**
 * Map `length` bytes of a file, read-only and shared.
 * @param fd of a regular file, open for reading
 * @param offset bytes, a multiple of the page size, ≥ 0
 * @param length bytes, > 0; offset + length must not pass the end of the file's last page
 * @throws MappingError with the kernel's reason (ENODEV, ENOMEM, EACCES …)
 * @see mmap(2); https://github.com/ozra/mmap-io/issues/31
 */
export function map(fd: number, offset: number, length: number): Mapping {
  if (mmapIo !== undefined && offset + length < mmapIoReach) {
    const bytes = mapByMmapIo(mmapIo, fd, offset, length)
    return { bytes, address: addressOf(bytes) }
  }
  const address = mapByLibc(fd, offset, length)
  const bytes = Buffer.from(viewOf(address, length))
  reservations.register(bytes.buffer, { address, length })
  return { bytes, address }
}

function mapByMmapIo(addon: MmapIo, fd: number, offset: number, length: number): Buffer {
  try {
    return addon.map(length, PROT_READ, MAP_SHARED, fd, offset)
  } catch (error) {
    // its errors carry errno as the number at the end of the message
    const number = /(\d+)$/.exec(error instanceof Error ? error.message : '')?.[1]
    throw new MappingError(number === undefined ? 'unknown' : errorName(Number(number)), {
      cause: error
    })
  }
}

// It is compiled when it is installed, and an optional dependency. Its absence has many forms: not installed, not
// built, built for another Node or another C library.
function loadMmapIo(): MmapIo | undefined {
  try {
    return require('mmap-io') as MmapIo
  } catch {
    return undefined
  }
}

function mapByLibc(fd: number, offset: number, length: number): number {
  const address = Number(libc.mmap(0, length, PROT_READ, MAP_SHARED, fd, offset))
  if (address === -1) throw new MappingError(errorName(errno()))
  return address
}

/**
 * Map a part of a file whose bytes nobody needs: its address is for system calls about the pages. Nothing of it
 * becomes a Buffer, so that it can be unmapped at once.
 * @param offset bytes, a multiple of the page size
 * @returns the address, valid until `unmapAddress`
 * @throws MappingError with the kernel's reason
 */
export function mapAddress(fd: number, offset: number, length: number): number {
  return mapByLibc(fd, offset, length)
}

/** End what `mapAddress` gave. */
export function unmapAddress(address: number, length: number): void {
  libc.munmap(address, length)
}

/**
 * The same for as long as a function runs.
 * @throws MappingError with the kernel's reason
 */
export function withMapping<T>(
  fd: number,
  offset: number,
  length: number,
  use: (address: number) => T
): T {
  const address = mapAddress(fd, offset, length)
  try {
    return use(address)
  } finally {
    unmapAddress(address, length)
  }
}

/**
 * Give a mapping's file and pages back at once, whether or not its Buffer is ever collected: an anonymous,
 * inaccessible mapping is laid over it. A late send from it then fails with EFAULT instead of sending another
 * file's bytes, and the collector's munmap later finds only what is its own.
 * @throws MappingError when the kernel refuses (ENOMEM at vm.max_map_count)
 * @see mmap(2), MAP_FIXED
 */
export function revoke(mapping: Mapping): void {
  const flags = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE
  const result = libc.mmap(mapping.address, mapping.bytes.length, PROT_NONE, flags, -1, 0)
  if (Number(result) === -1) throw new MappingError(errorName(errno()))
}

// A mapping that koffi made has no collector to unmap it: its address range, inaccessible since it was revoked,
// is given back once no JavaScript can reach its Buffer.
const reservations = new FinalizationRegistry<{ address: number; length: number }>((reserved) => {
  libc.munmap(reserved.address, reserved.length)
})

/**
 * Fault pages of a mapping in, as if each were read; beyond the end of the file nothing happens.
 * @param start bytes from the beginning of the mapping
 * @see madvise(2), MADV_POPULATE_READ (Linux 5.14)
 */
export function populate(mapping: Mapping, start: number, end: number): void {
  const aligned = start - (start % pageBytes)
  libc.madvise(mapping.address + aligned, end - aligned, MADV_POPULATE_READ)
}

/**
 * The generation of a file, asked with statx(2) in a form that the hot path compares without allocations.
 */
import { constants } from 'node:fs'
import { libc } from './libc.ts'

/** The content of a file, as far as stat(2) can tell: two of these that are equal mean the same bytes. */
export interface Generation {
  readonly dev: bigint
  readonly ino: bigint
  readonly size: bigint
  readonly mtimeNs: bigint
}

// <fcntl.h>, <linux/stat.h>
const AT_FDCWD = -100
const AT_EMPTY_PATH = 0x1000
const AT_STATX_DONT_SYNC = 0x4000
const STATX_MNT_ID_UNIQUE = 0x4000
const STATX_TYPE_MODE_INO_SIZE_MTIME = 0x0001 | 0x0002 | 0x0100 | 0x0200 | 0x0040
const STATX_TYPE = 0x0001
const STATX_NLINK = 0x0004
const STATX_UID = 0x0008

const statxBuffer = Buffer.alloc(256)

/**
 * The generation of what a path (symlinks followed) names now; synchronous, so only for what cannot wait.
 * @param path absolute, as bytes ended by NUL
 * @returns undefined when nothing is there, or not a regular file
 */
export function statPath(path: Buffer): Generation | undefined {
  return statx(AT_FDCWD, path, 0) ? generationInBuffer() : undefined
}

/**
 * Whether a path still names a given generation: `statPath` without the allocations, for the hot path.
 * @param path absolute, as bytes ended by NUL
 */
export function pathStillNames(path: Buffer, known: GenerationKey): boolean {
  return statx(AT_FDCWD, path, 0) && bufferMatches(known)
}

/** Whether an open file still has the content of a given generation. @see statx(2) */
export function fdStillHas(fd: number, known: GenerationKey): boolean {
  return statx(fd, emptyPath, AT_EMPTY_PATH) && bufferMatches(known)
}
const emptyPath = Buffer.from('\0')

/** The generation of an open file now; undefined when it cannot be told. Synchronous, so only for what cannot wait. */
export function generationOf(fd: number): Generation | undefined {
  return statx(fd, emptyPath, AT_EMPTY_PATH) ? generationInBuffer() : undefined
}

/**
 * The number of the mount that an open file was opened through. It is never used again while the machine runs,
 * unlike the device number of a file system, which the next one may get. Asked without a wait for a file system's
 * daemon or server.
 * @returns undefined before Linux 6.8, and where a seccomp filter hides the call
 * @see statx(2), STATX_MNT_ID_UNIQUE, AT_STATX_DONT_SYNC
 */
export function uniqueMountId(fd: number): bigint | undefined {
  const flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC
  const isAnswered = libc.statx(fd, emptyPath, flags, STATX_MNT_ID_UNIQUE, statxBuffer) === 0
  // the first word of the answer says what was filled in
  if (!isAnswered || (statxBuffer.readUInt32LE(0) & STATX_MNT_ID_UNIQUE) === 0) return undefined
  return statxBuffer.readBigUInt64LE(144)
}

/** What can be told of a regular file that was found, and is not opened yet. */
export interface FoundFile {
  readonly key: GenerationKey
  /** user id of its owner */
  readonly uid: number
  /** number of its mount, as `uniqueMountId` gives it */
  readonly mount: bigint | undefined
}

/**
 * Asked without a wait for a file system's daemon or server. Where there is one, the answer may be old.
 * @param fd may name a place only (O_PATH)
 * @returns undefined for what is not a regular file
 */
export function describeFound(fd: number): FoundFile | undefined {
  const mask = STATX_TYPE_MODE_INO_SIZE_MTIME | STATX_UID | STATX_MNT_ID_UNIQUE
  if (!statx(fd, emptyPath, AT_EMPTY_PATH | AT_STATX_DONT_SYNC, mask)) return undefined
  const hasMount = (statxBuffer.readUInt32LE(0) & STATX_MNT_ID_UNIQUE) !== 0
  return {
    key: new GenerationKey(generationWords.map((word) => statxWords[word] as number)),
    uid: statxBuffer.readUInt32LE(20),
    mount: hasMount ? statxBuffer.readBigUInt64LE(144) : undefined
  }
}

/** Whether an open file still has a name, so that closing it deletes nothing. Synchronous. */
export function hasName(fd: number): boolean {
  return (
    statx(fd, emptyPath, AT_EMPTY_PATH, STATX_TYPE | STATX_NLINK) &&
    statxBuffer.readUInt32LE(16) > 0
  )
}

/** A generation in the form that the hot path compares: the 32-bit words of statx(2)'s answer. */
export class GenerationKey {
  /** those of `generationWords` */
  readonly words: readonly number[]
  #generation: Generation | undefined

  constructor(words: readonly number[], generation?: Generation) {
    this.words = words
    this.#generation = generation
  }

  get generation(): Generation {
    this.#generation ??= generationIn(this.words)
    return this.#generation
  }

  /** bytes */
  get size(): number {
    const [, , low = 0, high = 0] = this.words
    return (low >>> 0) + (high >>> 0) * 2 ** 32
  }

  get mtimeNs(): bigint {
    return mtimeIn(this.words)
  }

  /** since the epoch, the fraction of a millisecond cut off */
  get mtimeMs(): number {
    const [, , , , low = 0, high = 0, nanoseconds = 0] = this.words
    return ((low >>> 0) + high * 2 ** 32) * 1000 + Math.floor(nanoseconds / 1_000_000)
  }
}

const second = 1_000_000_000n

/** @see statx(2) for the layout, which is the same on every architecture */
export function generationKey(generation: Generation): GenerationKey {
  const { ino, size, mtimeNs, dev } = generation
  // counted from the second before, for dates before 1970 too
  const nanoseconds = ((mtimeNs % second) + second) % second
  const seconds = (mtimeNs - nanoseconds) / second
  const words = [ino, size, seconds].flatMap((value) => [value, value >> 32n])
  const all = [...words, nanoseconds, deviceMajor(dev), deviceMinor(dev)]
  return new GenerationKey(
    all.map((word) => Number(BigInt.asIntN(32, word))),
    generation
  )
}

export function sameGeneration(a: Generation, b: Generation): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.ino === b.ino && a.dev === b.dev
}

const statxWords = new Int32Array(statxBuffer.buffer, statxBuffer.byteOffset, 64)
// which words of statx(2)'s answer make a generation: ino, size, mtime seconds and nanoseconds, device
const generationWords = [8, 9, 10, 11, 28, 29, 30, 34, 35] as const

function statx(
  dirfd: number,
  path: Buffer,
  flags: number,
  mask: number = STATX_TYPE_MODE_INO_SIZE_MTIME
): boolean {
  // 0o170000 is S_IFMT, 0o100000 S_IFREG: what has become a folder or a FIFO is not the file any more
  return (
    libc.statx(dirfd, path, flags, mask, statxBuffer) === 0 &&
    (statxBuffer.readUInt16LE(28) & constants.S_IFMT) === constants.S_IFREG
  )
}

function bufferMatches(known: GenerationKey): boolean {
  const { words } = known
  for (let i = 0; i < generationWords.length; i++) {
    if (statxWords[generationWords[i] as number] !== words[i]) return false
  }
  return true
}

function generationInBuffer(): Generation {
  return generationIn(generationWords.map((word) => statxWords[word] as number))
}

function generationIn(words: readonly number[]): Generation {
  const unsigned = (i: number) => BigInt((words[i] as number) >>> 0)
  return {
    ino: unsigned(0) | (unsigned(1) << 32n),
    size: unsigned(2) | (unsigned(3) << 32n),
    mtimeNs: mtimeIn(words),
    dev: device(unsigned(7), unsigned(8))
  }
}

function mtimeIn(words: readonly number[]): bigint {
  const [, , , , low = 0, high = 0, nanoseconds = 0] = words
  // seconds are a signed number of 64 bits, of dates far below 2^53
  return BigInt((low >>> 0) + high * 2 ** 32) * second + BigInt(nanoseconds)
}

// glibc's dev_t, as stat(2) gives it to Node: gnu_dev_makedev(3)
function device(M: bigint, m: bigint): bigint {
  return (
    ((M & 0xfffff000n) << 32n) | ((M & 0xfffn) << 8n) | ((m & 0xffffff00n) << 12n) | (m & 0xffn)
  )
}
/** @see makedev(3), as glibc packs it */
export function deviceMajor(dev: bigint): bigint {
  return ((dev >> 32n) & 0xfffff000n) | ((dev >> 8n) & 0xfffn)
}
/** @see makedev(3), as glibc packs it */
export function deviceMinor(dev: bigint): bigint {
  return ((dev >> 12n) & 0xffffff00n) | (dev & 0xffn)
}

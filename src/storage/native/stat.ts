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
    libc.statx(dirfd, path, flags, STATX_TYPE_MODE_INO_SIZE_MTIME, statxBuffer) === 0 &&
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

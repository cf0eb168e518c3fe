/**
 * One open file: its descriptor, its generation, and who still uses it. Opening happens on the thread pool
 * and ends with the check that what was opened lies where it may.
 */
import assert from 'node:assert/strict'
import fs, { type BigIntStats, constants } from 'node:fs'
import { readlink, realpath, stat, statfs } from 'node:fs/promises'
import { promisify } from 'node:util'
import { StorageError, systemCode } from './errors.ts'
import {
  fdStillHas,
  type Generation,
  type GenerationKey,
  generationKey,
  pathStillNames,
  sameGeneration
} from './native/stat.ts'
import type { Region, RegionOwner } from './regions.ts'
import { mayTrustResidency } from './residency.ts'

export type SymlinkPolicy = 'deny' | 'within'

export class OpenFile implements RegionOwner {
  /** relative to the root, `/` between names */
  readonly path: string
  readonly fd: number
  /** bytes */
  readonly size: number
  readonly generation: Generation
  /** whether its metadata can be asked for without waiting for anything */
  readonly isLocal: boolean
  /** whether mincore(2) tells this process the truth about it */
  readonly isTrusted: boolean
  /** the file system refused RWF_NOWAIT: not asked again */
  cannotReadCached = false
  /** when its path was last seen to name this generation; performance.now() */
  checkedAtMs = performance.now()
  /**
   * Until when it is served by copies that are checked after they were made, because its content was rewritten
   * in place a moment ago and is likely to be again; performance.now()
   */
  volatileUntilMs = 0
  readonly regions: (Region | undefined)[] = []
  unmappable: string | undefined
  readonly #absolutePath: string
  readonly #pathBytes: Buffer
  readonly #key: GenerationKey
  readonly #whenRetired: (file: OpenFile) => void
  #asking: Promise<boolean> | undefined
  #asksNext: Promise<boolean> | undefined
  // the first claim is the catalog's
  #leases = 1
  #isRetired = false

  constructor(facts: {
    path: string
    absolutePath: string
    fd: number
    stats: BigIntStats
    isLocal: boolean
    isTrusted: boolean
    whenRetired: (file: OpenFile) => void
  }) {
    this.path = facts.path
    this.fd = facts.fd
    this.size = Number(facts.stats.size)
    const { dev, ino, size, mtimeNs } = facts.stats
    this.generation = { dev, ino, size, mtimeNs }
    this.isLocal = facts.isLocal
    this.isTrusted = facts.isTrusted
    this.#absolutePath = facts.absolutePath
    this.#pathBytes = Buffer.from(`${facts.absolutePath}\0`)
    this.#key = generationKey(this.generation)
    this.#whenRetired = facts.whenRetired
  }

  get isVolatile(): boolean {
    return this.volatileUntilMs > 0 && performance.now() < this.volatileUntilMs
  }

  /** Since its last change, as the file system tells it; a date in the future tells nothing and is Infinity. */
  ageMs(): number {
    const age = Date.now() - Number(this.generation.mtimeNs / 1_000_000n)
    return age < 0 ? Number.POSITIVE_INFINITY : age
  }

  /** Whether the path still names this content. Synchronous: only for a local file. */
  isStillNamed(): boolean {
    return pathStillNames(this.#pathBytes, this.#key)
  }

  /**
   * The same, asked on the thread pool: one question at a time, so that a slow file takes one thread however
   * many want to know. Who comes in the middle of a question gets the answer to the next, which begins later.
   */
  isStillNamedSlowly(): Promise<boolean> {
    if (this.#asking === undefined) return this.#ask()
    this.#asksNext ??= this.#asking.then(() => {
      this.#asksNext = undefined
      return this.#ask()
    })
    return this.#asksNext
  }

  #ask(): Promise<boolean> {
    const answered = (isSame: boolean) => {
      this.#asking = undefined
      return isSame
    }
    this.#asking = stat(this.#absolutePath, { bigint: true }).then(
      (now) => answered(now.isFile() && sameGeneration(now, this.generation)),
      () => answered(false)
    )
    return this.#asking
  }

  /**
   * Whether the open file still has the content it was opened with, wherever its path points now: a response
   * in progress may go on. Answered at once for a local file.
   */
  hasSameContent(): boolean | Promise<boolean> {
    if (this.isLocal) return fdStillHas(this.fd, this.#key)
    return promisedFstat(this.fd, { bigint: true }).then(
      (now) => sameGeneration(now, this.generation),
      () => false
    )
  }

  /** @returns false when it is closed already and must be opened again */
  tryRetain(): boolean {
    if (this.#leases === 0) return false
    this.#leases++
    return true
  }

  release(): void {
    assert(this.#leases > 0, 'a file was released more often than retained')
    this.#leases--
    // Failing to close a descriptor open for reading loses nothing: close(2) frees it anyway.
    if (this.#leases === 0) fs.close(this.fd, () => {})
  }

  /** The catalog lets go of it: no new response gets it, running ones end. */
  retire(): void {
    if (this.#isRetired) return
    this.#isRetired = true
    this.#whenRetired(this)
    this.release()
  }
}

const promisedFstat = promisify(fs.fstat) as (
  fd: number,
  options: { bigint: true }
) => Promise<BigIntStats>
const promisedOpen = promisify(fs.open)

/**
 * Open a regular file below a root.
 * @param root absolute path of the folder that is served
 * @param path relative, decoded, without `.` and `..`
 * @param symlinks `deny`: no symbolic link anywhere in `path`; `within`: only while the target is below the root
 * @throws StorageError NOT_FOUND, EXHAUSTED, READ_FAILED
 */
export async function openFile(
  root: string,
  path: string,
  symlinks: SymlinkPolicy,
  whenRetired: (file: OpenFile) => void
): Promise<OpenFile> {
  const absolutePath = `${root}/${path}`
  let fd: number | undefined
  try {
    // Asked before opening, because opening a device can do things; asked again after, through the descriptor.
    const before = await stat(absolutePath, { bigint: true })
    if (!before.isFile())
      throw new StorageError('NOT_FOUND', path, { reason: 'not a regular file' })
    // O_NONBLOCK: should the file have become a FIFO meanwhile, opening it does not wait for a writer.
    fd = await promisedOpen(
      absolutePath,
      constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY
    )
    const stats = await promisedFstat(fd, { bigint: true })
    if (!stats.isFile()) throw new StorageError('NOT_FOUND', path, { reason: 'not a regular file' })
    await assertBelowRoot(fd, root, path, symlinks)
    const isLocal = await isLocalFileSystem(fd, stats.dev)
    const file = new OpenFile({
      path,
      absolutePath,
      fd,
      stats,
      isLocal,
      isTrusted: mayTrustResidency(fd, stats, isLocal),
      whenRetired
    })
    fd = undefined
    return file
  } catch (error) {
    throw error instanceof StorageError ? error : fromSystem(error, path)
  } finally {
    if (fd !== undefined) fs.close(fd, () => {})
  }
}

/** What was opened is what is checked: the kernel's own name for the descriptor, not a second look at the path. */
async function assertBelowRoot(
  fd: number,
  root: string,
  path: string,
  symlinks: SymlinkPolicy
): Promise<void> {
  // The root may itself be a link that is pointed elsewhere when a new release is published.
  const [opened, realRoot] = await Promise.all([readlink(`/proc/self/fd/${fd}`), realpath(root)])
  const base = realRoot === '/' ? '/' : `${realRoot}/`
  const isAllowed = symlinks === 'deny' ? opened === base + path : opened.startsWith(base)
  if (!isAllowed) throw new StorageError('NOT_FOUND', path, { reason: 'outside the root' })
}

// statfs(2) f_type of file systems whose metadata is in this machine's memory or on its disks, <linux/magic.h>
const localFileSystems = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // XFS
  0x9123683e, // Btrfs
  0x01021994, // tmpfs
  0x858458f6, // ramfs
  0x794c7630, // overlayfs
  0xf2f52010, // F2FS
  0x2fc12fc1, // ZFS
  0xca451a4e, // bcachefs
  0x73717368, // squashfs
  0xe0f5e1e2, // EROFS
  0x9660, // ISO 9660
  0x4d44, // FAT
  0x2011bab0, // exFAT
  0x52654973 // ReiserFS
])
const localByDevice = new Map<bigint, boolean>()

/** Whether a folder or file is on a file system that never waits for another machine or process. */
export async function isLocalPath(path: string): Promise<boolean> {
  const { type } = await statfs(path)
  // f_type is a signed 32-bit number on some platforms
  return localFileSystems.has(type >>> 0)
}

async function isLocalFileSystem(fd: number, device: bigint): Promise<boolean> {
  let isLocal = localByDevice.get(device)
  if (isLocal === undefined) {
    isLocal = await isLocalPath(`/proc/self/fd/${fd}`)
    localByDevice.set(device, isLocal)
  }
  return isLocal
}

function fromSystem(error: unknown, path: string): StorageError {
  switch (systemCode(error)) {
    case 'ENOENT':
    case 'ENOTDIR':
    case 'ENAMETOOLONG':
    case 'ELOOP':
    case 'EACCES':
    case 'EPERM':
    case 'ENXIO':
      return new StorageError('NOT_FOUND', path, { cause: error })
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOMEM':
      return new StorageError('EXHAUSTED', path, { cause: error })
    default:
      return new StorageError('READ_FAILED', path, { cause: error })
  }
}

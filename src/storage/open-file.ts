/**
 * One open file: its descriptor, its freshness, and the count of its users. Opening happens on the thread pool
 * and ends with the check that what was opened lies below the root.
 */
import assert from 'node:assert/strict'
import fs, { type BigIntStats, constants } from 'node:fs'
import { readlink, stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { StorageError, systemCode } from './errors.ts'
import { isLocalFileSystem } from './file-system.ts'
import { type ChangeHistory, Freshness } from './freshness.ts'
import { FileRegions } from './regions.ts'
import { mayTrustResidency } from './residency.ts'

export type SymlinkPolicy = 'deny' | 'within'

export interface OpenFileFacts {
  /** relative to the root, `/` between names */
  readonly path: string
  readonly fd: number
  readonly freshness: Freshness
  /** whether mincore(2) tells this process the truth about it */
  readonly isTrusted: boolean
  readonly whenRetired: (file: OpenFile) => void
}

export class OpenFile {
  readonly path: string
  readonly fd: number
  /** bytes */
  readonly size: number
  readonly freshness: Freshness
  readonly isTrusted: boolean
  readonly regions: FileRegions
  readonly #whenRetired: (file: OpenFile) => void
  // the first lease is the catalog's
  #leases = 1
  #isRetired = false

  constructor({ path, fd, freshness, isTrusted, whenRetired }: OpenFileFacts) {
    this.path = path
    this.fd = fd
    this.size = Number(freshness.generation.size)
    this.freshness = freshness
    this.isTrusted = isTrusted
    this.regions = new FileRegions(fd, this.size)
    this.#whenRetired = whenRetired
  }

  /** claims that keep it open; the catalog's is one of them */
  get leases(): number {
    return this.#leases
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

export interface OpeningOptions {
  /** absolute path of the folder that is served */
  readonly root: string
  /** `deny`: no symbolic link anywhere below the root; `within`: only while the target is below the root */
  readonly symlinks: SymlinkPolicy
  /** `deny`: nothing whose own name, or that of a folder that it lies in, begins with a dot */
  readonly dotfiles: 'allow' | 'deny'
  readonly history: ChangeHistory
  readonly whenRetired: (file: OpenFile) => void
}

// How often a file may be replaced while it is opened.
const maxAttempts = 10

// <fcntl.h>, the same on every architecture that Linux and Node share; node:fs does not have it
const O_PATH = 0o10000000

const promisedFstat = promisify(fs.fstat) as (
  fd: number,
  options: { bigint: true }
) => Promise<BigIntStats>
const promisedOpen = promisify(fs.open)

/**
 * Open a regular file below a root.
 * @param path relative, decoded, without `.` and `..`
 * @throws StorageError NOT_FOUND, EXHAUSTED, READ_FAILED
 */
export async function openFile(path: string, options: OpeningOptions): Promise<OpenFile> {
  for (let attempt = 1; attempt < maxAttempts; attempt++) {
    const file = await tryOpen(path, options)
    if (file !== 'replaced') return file
  }
  throw new StorageError('NOT_FOUND', path, { reason: 'replaced all the time' })
}

/** @returns `replaced` when the file or the root was removed meanwhile, so that it cannot be told where it lay */
async function tryOpen(path: string, options: OpeningOptions): Promise<OpenFile | 'replaced'> {
  let rootFd: number | undefined
  let fd: number | undefined
  try {
    // The root may itself be a link that is pointed elsewhere when a new release is published. One descriptor of
    // what it is now serves for the whole opening: what is opened below it is not compared with another folder.
    rootFd = await promisedOpen(options.root, O_PATH | constants.O_DIRECTORY)
    const rootPath = `/proc/self/fd/${rootFd}`
    fd = await openRegular(`${rootPath}/${path}`, path)
    // What was opened is what is checked: the kernel's own name for the descriptor, not a second look at the path.
    const realRoot = await readlink(rootPath)
    const opened = await readlink(`/proc/self/fd/${fd}`)
    if (opened.endsWith(' (deleted)') && !opened.endsWith(`/${path}`)) return 'replaced'
    assertPlace(placeBelow(realRoot, opened), path, options)
    const file = await describe(fd, path, options)
    fd = undefined
    return file
  } catch (error) {
    throw error instanceof StorageError ? error : fromSystem(error, path)
  } finally {
    if (fd !== undefined) fs.close(fd, () => {})
    // of a descriptor that names a place and opens nothing, closing never waits
    if (rootFd !== undefined) fs.closeSync(rootFd)
  }
}

/** @param target what is opened for `path` */
async function openRegular(target: string, path: string): Promise<number> {
  // Asked before opening, because opening a device can do things; asked again after, through the descriptor.
  const before = await stat(target)
  if (!before.isFile()) throw notRegular(path)
  // O_NONBLOCK: should the file have become a FIFO meanwhile, opening it does not wait for a writer.
  return promisedOpen(target, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
}

/** @param place where it lies below the root; undefined: elsewhere */
export function assertPlace(
  place: string | undefined,
  path: string,
  { symlinks, dotfiles }: Pick<OpeningOptions, 'symlinks' | 'dotfiles'>
): void {
  if (place === path) return
  if (place === undefined || symlinks === 'deny') {
    throw new StorageError('NOT_FOUND', path, { reason: 'outside the root' })
  }
  if (dotfiles === 'deny' && hasDotfile(place)) {
    throw new StorageError('NOT_FOUND', path, { reason: 'a link to a dotfile' })
  }
}

async function describe(
  fd: number,
  path: string,
  { root, history, whenRetired }: OpeningOptions
): Promise<OpenFile> {
  const stats = await promisedFstat(fd, { bigint: true })
  if (!stats.isFile()) throw notRegular(path)
  const isLocal = await isLocalFileSystem(fd)
  const isTrusted = mayTrustResidency(fd, stats, isLocal)
  const { dev, ino, size, mtimeNs } = stats
  const generation = { dev, ino, size, mtimeNs }
  const ageMs = Date.now() - Number(mtimeNs / 1_000_000n)
  const habit = history.habitOf(path, generation, ageMs)
  const absolutePath = `${root}/${path}`
  const freshness = new Freshness({ fd, absolutePath, generation, habit, isLocal })
  return new OpenFile({ path, fd, freshness, isTrusted, whenRetired })
}

function notRegular(path: string): StorageError {
  return new StorageError('NOT_FOUND', path, { reason: 'not a regular file' })
}

/** @returns the path of `opened` relative to a folder; undefined when it is not below it */
export function placeBelow(folder: string, opened: string): string | undefined {
  const base = folder === '/' ? '/' : `${folder}/`
  return opened.startsWith(base) ? opened.slice(base.length) : undefined
}

/**
 * Names that begin with two dots are no dotfiles where a link leads: Kubernetes keeps the files of its volumes in
 * such folders, behind links with plain names.
 */
function hasDotfile(place: string): boolean {
  return place.split('/').some((name) => name.startsWith('.') && !name.startsWith('..'))
}

export function fromSystem(error: unknown, path: string): StorageError {
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

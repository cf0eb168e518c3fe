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
import { closeNow } from './native/open.ts'
import { type GenerationKey, generationKey, hasName } from './native/stat.ts'
import { FileRegions } from './regions.ts'
import { mayTrustResidency } from './residency.ts'

export type SymlinkPolicy = 'deny' | 'within'

export interface OpenFileFacts {
  /** relative to the root, `/` between names */
  readonly path: string
  readonly fd: number
  readonly freshness: Freshness
  /** user id of its owner */
  readonly uid: number
  readonly whenRetired: (file: OpenFile) => void
}

export class OpenFile {
  readonly path: string
  readonly fd: number
  /** bytes */
  readonly size: number
  readonly freshness: Freshness
  readonly regions: FileRegions
  /** how often it was asked for since it was opened */
  timesAsked = 1
  readonly #uid: number
  readonly #whenRetired: (file: OpenFile) => void
  // the first lease is that of whoever has opened it
  #leases = 1
  #isKept = false
  /** somebody has held it beyond the turn of the event loop in which it was opened */
  #wasRetained = false
  #isTrusted: boolean | undefined

  constructor({ path, fd, freshness, uid, whenRetired }: OpenFileFacts) {
    this.path = path
    this.fd = fd
    this.size = freshness.size
    this.freshness = freshness
    this.#uid = uid
    this.regions = new FileRegions(fd, this.size)
    this.#whenRetired = whenRetired
  }

  /** Whether mincore(2) tells this process the truth about it: asked once, when it is needed. */
  get isTrusted(): boolean {
    this.#isTrusted ??= mayTrustResidency(this.fd, this.#uid, this.freshness.isLocal)
    return this.#isTrusted
  }

  /** whether the catalog holds it for the next request */
  get isKept(): boolean {
    return this.#isKept
  }

  /** claims that keep it open; the catalog's is one of them */
  get leases(): number {
    return this.#leases
  }

  /** @returns false when it is closed already and must be opened again */
  tryRetain(): boolean {
    if (this.#leases === 0) return false
    this.#leases++
    this.#wasRetained = true
    return true
  }

  /** The catalog holds it from now on. */
  keep(): void {
    assert(!this.#isKept && this.tryRetain(), 'a file is kept twice, or closed')
    this.#isKept = true
  }

  release(): void {
    assert(this.#leases > 0, 'a file was released more often than retained')
    this.#leases--
    if (this.#leases === 0) this.#close()
  }

  /**
   * Closing a regular file of a local file system does not wait, unless this is the end of a deleted file: then its
   * blocks are freed. That it has a name was seen when it was opened, or is asked again.
   */
  #close(): void {
    const isPlain = this.freshness.isLocal && (!this.#wasRetained || hasName(this.fd))
    if (isPlain) closeNow(this.fd)
    // Failing to close a descriptor open for reading loses nothing: close(2) frees it anyway.
    else fs.close(this.fd, () => {})
  }

  /** The catalog lets go of it: no new response gets it, running ones end. */
  retire(): void {
    if (!this.#isKept) return
    this.#isKept = false
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
/** @throws StorageError NOT_FOUND */
export function assertPlace(
  place: string | undefined,
  path: string,
  policy: Pick<OpeningOptions, 'symlinks' | 'dotfiles'>
): void {
  const reason = whyRefused(place, path, policy)
  if (reason !== undefined) throw new StorageError('NOT_FOUND', path, { reason })
}

/**
 * @param place where what was opened for `path` lies below the root; undefined: elsewhere
 * @returns undefined when it may be served
 */
export function whyRefused(
  place: string | undefined,
  path: string,
  { symlinks, dotfiles }: Pick<OpeningOptions, 'symlinks' | 'dotfiles'>
): string | undefined {
  if (place === path) return undefined
  if (place === undefined || symlinks === 'deny') return 'outside the root'
  return dotfiles === 'deny' && hasDotfile(place) ? 'a link to a dotfile' : undefined
}

async function describe(fd: number, path: string, options: OpeningOptions): Promise<OpenFile> {
  const stats = await promisedFstat(fd, { bigint: true })
  if (!stats.isFile()) throw notRegular(path)
  const isLocal = await isLocalFileSystem(fd)
  const { dev, ino, size, mtimeNs, uid } = stats
  const key = generationKey({ dev, ino, size, mtimeNs })
  return openedFile({ fd, path, key, uid: Number(uid), isLocal }, options)
}

/** A regular file below the root that is open. */
export function openedFile(
  {
    fd,
    path,
    key,
    uid,
    isLocal
  }: {
    readonly fd: number
    readonly path: string
    readonly key: GenerationKey
    readonly uid: number
    readonly isLocal: boolean
  },
  { root, history, whenRetired }: OpeningOptions
): OpenFile {
  const ageMs = Date.now() - key.mtimeMs
  const habit = history.isEmpty ? 'none' : history.habitOf(path, key.generation, ageMs)
  const absolutePath = `${root}/${path}`
  const freshness = new Freshness({ fd, absolutePath, key, habit, isLocal })
  return new OpenFile({ path, fd, freshness, uid, whenRetired })
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

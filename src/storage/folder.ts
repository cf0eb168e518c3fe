/**
 * What a folder holds, by the rules that hold for files: nothing outside the root, no dotfiles and no links where
 * they are denied, regular files and folders alone. All of it is asked for on the thread pool.
 */
import fs, { constants, type Dir, type Stats } from 'node:fs'
import { lstat, opendir, readlink, realpath, stat } from 'node:fs/promises'
import { promisify } from 'node:util'
import { StorageError, systemCode } from './errors.ts'
import { assertPlace, fromSystem, placeBelow, type SymlinkPolicy } from './open-file.ts'
import type { PoolShare } from './thread-pool.ts'
import { sortInTurns } from './turn.ts'

export interface FolderEntry {
  readonly name: string
  readonly isFolder: boolean
  /** bytes; 0 for a folder */
  readonly size: number
  /** milliseconds since the epoch */
  readonly mtimeMs: number
}

export interface FolderOptions {
  /** absolute path of the folder that is served */
  readonly root: string
  readonly symlinks: SymlinkPolicy
  readonly dotfiles: 'allow' | 'deny'
  /** of the thread pool: each piece of work waits for its turn there */
  readonly share: PoolShare
  /** in one folder, hidden ones too, beyond which it is not listed */
  readonly maxNames: number
  /** aborted when nobody waits for it any more */
  readonly signal: AbortSignal
}

// names that one piece of work reads or asks about
const batchLength = 128
// pieces at once, so that the latency of a disk or a network is not waited for name by name
const lanes = 2

// <fcntl.h>, as in open-file.ts
const O_PATH = 0o10000000
const promisedOpen = promisify(fs.open)
const promisedClose = promisify(fs.close)

/** @param path relative to the root, decoded; empty for the root itself. @throws StorageError NOT_FOUND and others */
export async function isFolder(path: string, options: FolderOptions): Promise<boolean> {
  try {
    const { share, signal } = options
    const folder = await share.run(path, { signal, mayRefuse: true }, () => open(path, options))
    await close(folder)
    return true
  } catch (error) {
    if (error instanceof StorageError && error.code === 'NOT_FOUND') return false
    throw error
  }
}

/**
 * @param path relative to the root, decoded; empty for the root itself
 * @returns folders first, each kind by the UTF-16 of its names; undefined when there are more than `maxNames`
 * @throws StorageError NOT_FOUND, EXHAUSTED, READ_FAILED, OVERLOADED; the signal's reason
 */
export async function readFolder(
  path: string,
  options: FolderOptions
): Promise<readonly FolderEntry[] | undefined> {
  const { share, signal } = options
  const folder = await share.run(path, { signal, mayRefuse: true }, () => open(path, options))
  try {
    const names = await readNames(path, folder, options)
    if (names === undefined) return undefined
    const entries: FolderEntry[] = []
    const batches = batchesOf(names)
    const lane = async () => {
      for (const batch of batches) {
        await share.run(path, { signal }, async () => {
          for (const name of batch) {
            const entry = await describe(name, folder, options)
            if (entry !== undefined) entries.push(entry)
          }
        })
      }
    }
    // the lanes share one iterator: each takes the next batch when it is done with its own
    await Promise.all(Array.from({ length: lanes }, lane))
    return await sortInTurns(entries, compareEntries)
  } catch (error) {
    if (error instanceof StorageError || signal.aborted) throw error
    throw fromSystem(error, path)
  } finally {
    await close(folder)
  }
}

/** Folders first, and by their names as JavaScript compares texts: fast, and the same everywhere. */
export function compareEntries(a: FolderEntry, b: FolderEntry): number {
  if (a.isFolder !== b.isFolder) return a.isFolder ? -1 : 1
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0
}

interface OpenFolder {
  readonly fd: number
  /** of the root as it was when the folder was opened: nothing is compared with another one */
  readonly realRoot: string
  /** by its descriptor, with a slash at the end: what is asked about is in the folder that was checked */
  readonly base: string
}

async function open(path: string, options: FolderOptions): Promise<OpenFolder> {
  let rootFd: number | undefined
  let fd: number | undefined
  try {
    rootFd = await promisedOpen(options.root, O_PATH | constants.O_DIRECTORY)
    const rootPath = `/proc/self/fd/${rootFd}`
    fd = await promisedOpen(`${rootPath}/${path}`, constants.O_RDONLY | constants.O_DIRECTORY)
    const realRoot = await readlink(rootPath)
    const opened = await readlink(`/proc/self/fd/${fd}`)
    assertPlace(placeOf(opened, realRoot), path, options)
    const folder = { fd, realRoot, base: `/proc/self/fd/${fd}/` }
    fd = undefined
    return folder
  } catch (error) {
    throw error instanceof StorageError ? error : fromSystem(error, path)
  } finally {
    if (fd !== undefined) fs.close(fd, () => {})
    // of a descriptor that names a place and opens nothing, closing never waits
    if (rootFd !== undefined) fs.closeSync(rootFd)
  }
}

/** @returns where a path lies below the root: empty for the root itself, undefined elsewhere */
function placeOf(real: string, realRoot: string): string | undefined {
  return real === realRoot ? '' : placeBelow(realRoot, real)
}

async function close({ fd }: OpenFolder): Promise<void> {
  await promisedClose(fd)
}

/** @returns undefined when there are too many */
async function readNames(
  path: string,
  { base }: OpenFolder,
  { share, signal, dotfiles, maxNames }: FolderOptions
): Promise<readonly string[] | undefined> {
  const names: string[] = []
  const dir = await share.run(path, { signal }, () => opendir(base, { bufferSize: batchLength }))
  try {
    for (let seen = 0; ; ) {
      const batch = await share.run(path, { signal }, () => readBatch(dir))
      seen += batch.length
      if (seen > maxNames) return undefined
      for (const name of batch) {
        if (dotfiles === 'allow' || !name.startsWith('.')) names.push(name)
      }
      if (batch.length < batchLength) return names
    }
  } finally {
    await dir.close()
  }
}

/** As many names as one call of the system has brought, or fewer at the end. */
async function readBatch(dir: Dir): Promise<string[]> {
  const names: string[] = []
  while (names.length < batchLength) {
    const entry = await dir.read()
    if (entry === null) break
    names.push(entry.name)
  }
  return names
}

function* batchesOf(names: readonly string[]): Generator<readonly string[]> {
  for (let i = 0; i < names.length; i += batchLength) yield names.slice(i, i + batchLength)
}

/** @returns undefined for what would not be served */
async function describe(
  name: string,
  folder: OpenFolder,
  options: FolderOptions
): Promise<FolderEntry | undefined> {
  try {
    const own = await lstat(folder.base + name)
    const stats = own.isSymbolicLink() ? await followLink(name, folder, options) : own
    if (stats === undefined || !(stats.isFile() || stats.isDirectory())) return undefined
    const isFolder = stats.isDirectory()
    return { name, isFolder, size: isFolder ? 0 : stats.size, mtimeMs: stats.mtimeMs }
  } catch (error) {
    // Gone meanwhile, or a name that is no UTF-8: it was decoded to another one, by which nothing is there. No
    // request can ask for such a file.
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'ELOOP' || code === 'EACCES' || code === 'ENOTDIR') return
    throw error
  }
}

/** What a link leads to, where a request would follow it. */
async function followLink(
  name: string,
  { base, realRoot }: OpenFolder,
  options: FolderOptions
): Promise<Stats | undefined> {
  if (options.symlinks === 'deny') return undefined
  const place = placeOf(await realpath(base + name), realRoot)
  try {
    assertPlace(place, `${name}/`, options) // no place ends so: it is another one than the link's own
  } catch {
    return undefined // it was refused, which is all that it throws for
  }
  return stat(base + name)
}

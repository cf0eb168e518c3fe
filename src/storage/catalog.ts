/**
 * From request paths to open files: a bounded cache whose entries are asked of the file system again, so that
 * the next request sees that a file was changed, replaced or deleted, and so that deleted files are closed.
 */
import { stat } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import { CachedOpener } from './cached-opener.ts'
import { StorageError } from './errors.ts'
import { isLocalPath } from './file-system.ts'
import { type FolderEntry, type FolderOptions, isFolder, readFolder } from './folder.ts'
import { ChangeHistory } from './freshness.ts'
import { type OpenFile, type OpeningOptions, openFile, type SymlinkPolicy } from './open-file.ts'
import { SharedWork } from './shared-work.ts'
import { PoolShare, poolThreads, sharesOf } from './thread-pool.ts'

export interface CatalogOptions {
  /** absolute path of the folder that is served */
  readonly root: string
  readonly symlinks: SymlinkPolicy
  readonly dotfiles: 'allow' | 'deny'
  /** open files that are kept; the least recently used is let go for the next */
  readonly maxOpenFiles: number
  /** a file no longer than this is kept only if it is asked for again; 0: every file is kept */
  readonly smallFileBytes: number
  /** how long a generation is trusted without asking the file system again; 0: never */
  readonly revalidateMs: number
  /** requests that may wait for the opening of a file */
  readonly maxWaiting: number
  /** called once for each file that is kept, before its first use */
  readonly whenOpened?: (file: OpenFile) => void
  /** called once for each file that is let go, before its descriptor is closed */
  readonly whenRetired: (file: OpenFile) => void
}

// What is deleted or replaced gives its disk space back after this at the latest, asked for or not.
const sweepIntervalMs = 2000
/** Names in a folder that is listed: some tens of MiB while it is read and sent. */
export const maxFolderNames = 100_000

export class Catalog {
  readonly #options: CatalogOptions
  readonly #isRootLocal: boolean
  readonly #files: LRUCache<string, OpenFile>
  readonly #opening = new Map<string, SharedWork<OpenFile>>()
  readonly #history = new ChangeHistory()
  readonly #howToOpen: OpeningOptions
  readonly #opener: CachedOpener
  readonly #openers: PoolShare
  /** Inode numbers (their lower half) of small files that were opened lately, each in the place that its end names. */
  readonly #seen: Int32Array
  readonly #sweeper: NodeJS.Timeout
  #isSweeping = false

  private constructor(options: CatalogOptions, isRootLocal: boolean) {
    this.#options = options
    this.#isRootLocal = isRootLocal
    this.#howToOpen = { ...options, history: this.#history }
    this.#opener = new CachedOpener(this.#howToOpen)
    // as many as are kept: what is asked for again that soon would have been found
    this.#seen = new Int32Array(2 ** Math.ceil(Math.log2(Math.min(options.maxOpenFiles, 2 ** 16))))
    this.#openers = new PoolShare({
      what: 'opens',
      maxRunning: sharesOf(poolThreads()).openers,
      maxWaiting: options.maxWaiting
    })
    this.#files = new LRUCache({
      max: options.maxOpenFiles,
      dispose: (file: OpenFile) => file.retire()
    })
    this.#sweeper = setInterval(() => void this.#sweep(), sweepIntervalMs).unref()
  }

  static async open(options: CatalogOptions): Promise<Catalog> {
    return new Catalog(options, await isLocalPath(options.root))
  }

  /** open files that are kept for the next request */
  get size(): number {
    return this.#files.size
  }

  /** The open file of a path as it is, not asked about and not retained; its place in the order of use stays. */
  peek(path: string): OpenFile | undefined {
    return this.#files.peek(path)
  }

  /** Lets go of all files. */
  clear(): void {
    this.#files.clear()
  }

  /**
   * The open file of a path, if it can be told without waiting that the path still names it. Not retained: to
   * be used before anything else can run.
   */
  known(path: string): OpenFile | undefined {
    const file = this.#files.get(path)
    if (file === undefined) return undefined
    const isCurrent =
      file.freshness.wasChecked(this.#options.revalidateMs) ||
      (this.#canAskAtOnce(file) && file.freshness.isStillNamed())
    if (isCurrent) {
      file.timesAsked++
      return file
    }
    if (this.#canAskAtOnce(file)) this.#drop(file)
    return undefined
  }

  /**
   * The open file of a path, if it is known, or can be opened without waiting; retained, the caller releases it. A
   * small file is not kept unless it was opened a while ago already.
   */
  tryOpen(path: string): OpenFile | undefined {
    const known = this.known(path)
    if (known?.tryRetain() === true) return known
    // what is kept and not known has to be asked about on the thread pool
    if (!this.#isRootLocal || this.#files.has(path)) return undefined
    const file = this.#opener.open(path)
    if (file === undefined) return undefined
    const isSmall = file.size <= this.#options.smallFileBytes
    if (!isSmall || this.#wasSeen(file)) this.keep(file)
    return file
  }

  /** Hold a file that is open for the next request, if it is not held already. */
  keep(file: OpenFile): void {
    if (file.isKept) return
    file.keep()
    this.#options.whenOpened?.(file)
    this.#files.set(file.path, file)
  }

  #wasSeen({ freshness }: OpenFile): boolean {
    const { inode } = freshness
    const place = inode & (this.#seen.length - 1)
    if (this.#seen[place] === inode) return true
    this.#seen[place] = inode
    return false
  }

  /**
   * The open file of a path, opened or asked about on the thread pool; retained, the caller releases it.
   * @param signal aborted when the client is gone: an opening that waits for a thread is not begun
   * @throws StorageError NOT_FOUND, EXHAUSTED, READ_FAILED, OVERLOADED; the signal's reason
   */
  async open(path: string, signal?: AbortSignal): Promise<OpenFile> {
    for (;;) {
      const kept = this.#files.get(path)
      if (kept?.tryRetain() === true) {
        if (await this.#isCurrent(kept, signal)) {
          kept.timesAsked++
          return kept
        }
        this.#drop(kept)
        kept.release()
      }
      if (this.#isRootLocal && this.#opener.knowsMissing(path)) {
        // a turn of the event loop for each, as on the thread pool: there may be hundreds in one packet
        await nextTurn()
        throw new StorageError('NOT_FOUND', path, { reason: 'ENOENT' })
      }
      const file = await this.#openOnce(path, signal)
      // let go already only where a great many files are opened at the same time
      if (file.tryRetain()) return file
    }
  }

  /** On failure the file is released. */
  async #isCurrent(file: OpenFile, signal: AbortSignal | undefined): Promise<boolean> {
    const { freshness } = file
    if (freshness.wasChecked(this.#options.revalidateMs)) return true
    if (this.#canAskAtOnce(file)) return freshness.isStillNamed()
    try {
      return await freshness.isStillNamedSlowly(signal)
    } catch (error) {
      file.release()
      throw error
    }
  }

  /** @returns the file as it is kept, not retained */
  #openOnce(path: string, signal: AbortSignal | undefined): Promise<OpenFile> {
    let opening = this.#opening.get(path)
    if (opening === undefined) {
      opening = new SharedWork(
        (signal) => this.#openAndKeep(path, signal),
        () => this.#opening.delete(path)
      )
      this.#opening.set(path, opening)
    }
    return opening.ask(signal)
  }

  /** paths that are being opened */
  get opening(): number {
    return this.#opening.size
  }

  async #openAndKeep(path: string, signal: AbortSignal): Promise<OpenFile> {
    for (let attempt = 0; ; attempt++) {
      try {
        const options = { signal, mayRefuse: true }
        const file = await this.#openers.run(path, options, () => this.#openOnPool(path))
        this.keep(file)
        file.release()
        return file
      } catch (error) {
        // Out of descriptors: files that are only kept in the cache are closed for those that are asked for.
        const mayRetry = error instanceof StorageError && error.code === 'EXHAUSTED' && attempt < 3
        if (!mayRetry || this.#files.size === 0) throw error
        for (let n = Math.ceil(this.#files.size / 2); n > 0; n--) this.#files.pop()
        await nextTurn()
      }
    }
  }

  /** Whether a path names a folder that may be listed. @throws StorageError, see folder.ts */
  isFolder(path: string, signal: AbortSignal): Promise<boolean> {
    return isFolder(path, this.#folderOptions(signal))
  }

  /** What a folder holds, see folder.ts. */
  readFolder(path: string, signal: AbortSignal): Promise<readonly FolderEntry[] | undefined> {
    return readFolder(path, this.#folderOptions(signal))
  }

  #folderOptions(signal: AbortSignal): FolderOptions {
    return { ...this.#options, share: this.#openers, maxNames: maxFolderNames, signal }
  }

  /**
   * Once its names are in memory, a file is opened without more of the pool's threads.
   * @throws StorageError NOT_FOUND, EXHAUSTED, READ_FAILED
   */
  async #openOnPool(path: string): Promise<OpenFile> {
    if (this.#isRootLocal) {
      let file = this.#opener.open(path)
      if (file === undefined && this.#opener.wasCold) {
        // what it does not find is told by openFile
        await stat(`${this.#options.root}/${path}`).catch(() => {})
        file = this.#opener.open(path)
      }
      if (file !== undefined) return file
    }
    return openFile(path, this.#howToOpen)
  }

  /** @throws the system's error when the root is gone */
  async assertRoot(): Promise<void> {
    await stat(this.#options.root)
  }

  close(): void {
    clearInterval(this.#sweeper)
    this.#files.clear()
  }

  /** A path on a local file system that was opened before: every step of it is held in memory. */
  #canAskAtOnce(file: OpenFile): boolean {
    return file.freshness.isLocal && this.#isRootLocal
  }

  #drop(file: OpenFile): void {
    this.#history.remember(file.path, file.freshness)
    if (this.#files.peek(file.path) === file) this.#files.delete(file.path)
  }

  /** One after the other, so that a slow file system has one thread of the pool at the most. */
  async #sweep(): Promise<void> {
    if (this.#isSweeping) return
    this.#isSweeping = true
    try {
      let asked = 0
      for (const file of [...this.#files.values()]) {
        const isCurrent = this.#canAskAtOnce(file)
          ? file.freshness.isStillNamed()
          : await file.freshness.isStillNamedSlowly()
        if (!isCurrent) this.#drop(file)
        if (++asked % 100 === 0) await nextTurn()
      }
    } finally {
      this.#isSweeping = false
    }
  }
}

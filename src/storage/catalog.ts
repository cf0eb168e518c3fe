/**
 * From request paths to open files: a bounded cache whose entries are asked of the file system again, so that
 * the next request sees that a file was changed, replaced or deleted, and so that deleted files are closed.
 */
import { stat } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import { StorageError } from './errors.ts'
import { isLocalPath } from './file-system.ts'
import { type FolderEntry, type FolderOptions, isFolder, readFolder } from './folder.ts'
import { ChangeHistory } from './freshness.ts'
import { type OpenFile, openFile, type SymlinkPolicy } from './open-file.ts'
import { SharedWork } from './shared-work.ts'
import { PoolShare, poolThreads, sharesOf } from './thread-pool.ts'

export interface CatalogOptions {
  /** absolute path of the folder that is served */
  readonly root: string
  readonly symlinks: SymlinkPolicy
  readonly dotfiles: 'allow' | 'deny'
  /** open files that are kept; the least recently used is let go for the next */
  readonly maxOpenFiles: number
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
  readonly #openers: PoolShare
  readonly #sweeper: NodeJS.Timeout
  #isSweeping = false

  private constructor(options: CatalogOptions, isRootLocal: boolean) {
    this.#options = options
    this.#isRootLocal = isRootLocal
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
    if (file.freshness.wasChecked(this.#options.revalidateMs)) return file
    if (!this.#canAskAtOnce(file)) return undefined
    if (file.freshness.isStillNamed()) return file
    this.#drop(file)
    return undefined
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
        if (await this.#isCurrent(kept, signal)) return kept
        this.#drop(kept)
        kept.release()
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
    const { whenOpened } = this.#options
    const opening = { ...this.#options, history: this.#history }
    for (let attempt = 0; ; attempt++) {
      try {
        const options = { signal, mayRefuse: true }
        const file = await this.#openers.run(path, options, () => openFile(path, opening))
        whenOpened?.(file)
        this.#files.set(path, file)
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

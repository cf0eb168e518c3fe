/**
 * From request paths to open files: a bounded cache whose entries are asked of the file system again, so that
 * the next request sees a file that was changed, replaced or deleted, and so that what is gone is let go.
 */
import { stat } from 'node:fs/promises'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { LRUCache } from 'lru-cache'
import { StorageError } from './errors.ts'
import { isLocalPath, type OpenFile, openFile, type SymlinkPolicy } from './open-file.ts'
import { poolThreads, StorageQueue, sharesOf } from './storage-queue.ts'

export interface CatalogOptions {
  /** absolute path of the folder that is served */
  readonly root: string
  readonly symlinks: SymlinkPolicy
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
// How long a file that was rewritten in place is expected to be rewritten again.
const volatileMs = 10_000
/**
 * How long after a change two contents may have the same mtime, which has the steps of the kernel's clock (10 ms
 * at the most), and one write(2), of 100 MB or so, may still be at work.
 */
export const settleMs = 50

export class Catalog {
  readonly #options: CatalogOptions
  readonly #isRootLocal: boolean
  readonly #files: LRUCache<string, OpenFile>
  readonly #opening = new Map<string, Promise<void>>()
  /** by inode and by path, what files were when they were let go because they had changed; size in bytes */
  readonly #changed = new LRUCache<string, { readonly size: number; readonly isVolatile: boolean }>(
    { max: 2000, ttl: volatileMs }
  )
  readonly #openers: StorageQueue
  readonly #sweeper: NodeJS.Timeout
  #isSweeping = false

  private constructor(options: CatalogOptions, isRootLocal: boolean) {
    this.#options = options
    this.#isRootLocal = isRootLocal
    this.#openers = new StorageQueue({
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

  /**
   * The open file of a path, if it can be told without waiting that the path still names it. Not retained: to
   * be used before anything else can run.
   */
  known(path: string): OpenFile | undefined {
    const file = this.#files.get(path)
    if (file === undefined) return undefined
    if (this.#isFresh(file)) return file
    if (!this.#canAskAtOnce(file)) return undefined
    if (this.#passes(file, file.isStillNamed())) return file
    this.#drop(file)
    return undefined
  }

  /**
   * The open file of a path, opened or asked about on the thread pool; retained, the caller releases it.
   * @throws StorageError NOT_FOUND, EXHAUSTED, READ_FAILED, OVERLOADED
   */
  async open(path: string): Promise<OpenFile> {
    for (;;) {
      const file = this.#files.get(path)
      if (file?.tryRetain()) {
        if (this.#isFresh(file)) return file
        const isCurrent = this.#canAskAtOnce(file)
          ? file.isStillNamed()
          : await file.isStillNamedSlowly()
        if (this.#passes(file, isCurrent)) return file
        this.#drop(file)
        file.release()
      }
      // Who joins an opening that began before its own request came asks once more afterwards: the file may
      // have been replaced in between.
      const opening = this.#opening.get(path)
      if (opening === undefined) return this.#open(path)
      await opening
    }
  }

  async #open(path: string): Promise<OpenFile> {
    const opening = this.#openAndKeep(path)
    const whenSettled = () => {}
    this.#opening.set(path, opening.then(whenSettled, whenSettled))
    try {
      return await opening
    } finally {
      this.#opening.delete(path)
    }
  }

  async #openAndKeep(path: string): Promise<OpenFile> {
    const { root, symlinks, whenOpened, whenRetired } = this.#options
    for (let attempt = 0; ; attempt++) {
      try {
        const file = await this.#inTurn(path, () => openFile(root, path, symlinks, whenRetired))
        whenOpened?.(file)
        this.#watchRewrites(file)
        file.tryRetain()
        this.#files.set(path, file)
        return file
      } catch (error) {
        // Out of descriptors: what is merely kept makes room for what is wanted.
        const mayRetry = error instanceof StorageError && error.code === 'EXHAUSTED' && attempt < 3
        if (!mayRetry || this.#files.size === 0) throw error
        for (let n = Math.ceil(this.#files.size / 2); n > 0; n--) this.#files.pop()
        await nextTurn()
      }
    }
  }

  async #inTurn<T>(path: string, work: () => Promise<T>): Promise<T> {
    const turn = this.#openers.enter(path, true)
    if (turn !== undefined) await turn
    try {
      return await work()
    } finally {
      this.#openers.leave(path)
    }
  }

  /** @throws the system's error when the root is gone */
  async assertRoot(): Promise<void> {
    await stat(this.#options.root)
  }

  close(): void {
    clearInterval(this.#sweeper)
    this.#files.clear()
  }

  #isFresh(file: OpenFile): boolean {
    const { revalidateMs } = this.#options
    return revalidateMs > 0 && performance.now() - file.checkedAtMs < revalidateMs
  }

  /** A path on a local file system that was opened before: every step of it is held in memory. */
  #canAskAtOnce(file: OpenFile): boolean {
    return file.isLocal && this.#isRootLocal
  }

  #passes(file: OpenFile, isCurrent: boolean): boolean {
    if (isCurrent && this.#options.revalidateMs > 0) file.checkedAtMs = performance.now()
    return isCurrent
  }

  /**
   * A file that has the inode of one that changed was rewritten in place. One that only grew was appended to,
   * and what it had is as it was. Whoever rewrote what a path named will do it again, even after a rename.
   */
  #watchRewrites(file: OpenFile): void {
    const same = this.#changed.get(inodeOf(file))
    const wasRewritten = same !== undefined && (same.isVolatile || file.size <= same.size)
    const before = this.#changed.get(file.path)
    // what was renamed to this path may be in the middle of being rewritten now
    const mayBeRewritten = before !== undefined && (before.isVolatile || file.ageMs() < settleMs)
    if (wasRewritten || mayBeRewritten) file.volatileUntilMs = performance.now() + volatileMs
  }

  #drop(file: OpenFile): void {
    const was = { size: file.size, isVolatile: file.isVolatile }
    this.#changed.set(inodeOf(file), was)
    this.#changed.set(file.path, was)
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
          ? file.isStillNamed()
          : await file.isStillNamedSlowly()
        if (!isCurrent) this.#drop(file)
        if (++asked % 100 === 0) await nextTurn()
      }
    } finally {
      this.#isSweeping = false
    }
  }
}

function inodeOf({ generation: { dev, ino } }: OpenFile): string {
  return `${dev}:${ino}`
}

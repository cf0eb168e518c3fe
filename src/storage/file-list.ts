/**
 * The files below the root, for people who look at them: found in the background by the thread pool, a few at a time,
 * only while somebody asks. It may be some seconds old; who opens a file finds what is there now.
 */
import { type Dirent, type Stats, stat as statOf } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { sortInTurns } from './in-turns.ts'
import type { SymlinkPolicy } from './open-file.ts'

export interface ListedFile {
  /** relative to the root, `/` between names */
  readonly path: string
  /** bytes */
  readonly size: number
}

export interface FileListOptions {
  /** absolute path */
  readonly root: string
  readonly symlinks: SymlinkPolicy
  readonly dotfiles: 'allow' | 'deny'
  /** files that are listed at most (default: 200,000) */
  readonly maxFiles?: number
}

/** `walking`: more may come. `truncated`: there are more than `maxFiles`. */
export type ListState = 'walking' | 'complete' | 'truncated'

// some 150 bytes of memory for each
const defaultMaxFiles = 200_000
// Files asked about at once: few enough to leave the thread pool to clients.
const atOnce = 4
// Between two pauses, some tenths of a millisecond of the event loop's time.
const filesPerBatch = 32
// The first walk is waited for by somebody; later ones may take their time.
const firstPauseMs = 2
const laterPauseMs = 20
// Enough to begin with, while the first walk goes on.
const firstFiles = 200
// A list is not renewed before it is so old, nor before ten times the time that it took.
const leastAgeMs = 5000
const agePerWalk = 10

const promisedStat = promisify(statOf) as (path: string) => Promise<Stats>

export class FileList {
  readonly #options: Required<FileListOptions>
  #files: readonly ListedFile[] = []
  #state: ListState = 'walking'
  #isWalking = false
  #isClosed = false
  #nextWalkAtMs = 0
  #waiting: (() => void)[] = []
  /** counts the lists: what was made of one is good for as long as this number stays */
  version = 0

  constructor(options: FileListOptions) {
    this.#options = { maxFiles: defaultMaxFiles, ...options }
  }

  get state(): ListState {
    return this.#state
  }

  /** in the order of their paths; during the first walk those that were found so far */
  get files(): readonly ListedFile[] {
    return this.#files
  }

  /**
   * Starts a walk if none runs and the last is old.
   * @returns when there is a list, whole or in part
   */
  async refresh(): Promise<void> {
    this.#mayWalk()
    while (this.version === 0 && !this.#isClosed) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  #mayWalk(): void {
    if (this.#isWalking || this.#isClosed || performance.now() < this.#nextWalkAtMs) return
    this.#isWalking = true
    const startedAtMs = performance.now()
    void this.#walk().finally(() => {
      const endedAtMs = performance.now()
      this.#nextWalkAtMs = endedAtMs + Math.max(leastAgeMs, agePerWalk * (endedAtMs - startedAtMs))
      this.#isWalking = false
    })
  }

  close(): void {
    this.#isClosed = true
    this.#tell()
  }

  #tell(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }

  async #walk(): Promise<void> {
    const isFirst = this.version === 0
    const walk = new Walk(this.#options, isFirst ? firstPauseMs : laterPauseMs)
    const show = async (state: ListState) => {
      this.#files = await sortInTurns(walk.files, byPath)
      this.#state = state
      this.version++
      this.#tell()
    }
    try {
      for await (const found of walk.steps()) {
        if (this.#isClosed) return
        // the first files soon, and then more of them at longer and longer intervals
        if (isFirst && found >= firstFiles && found >= 2 * this.#files.length) {
          await show('walking')
        }
      }
    } catch {
      // The root itself cannot be read; readiness tells that.
    }
    await show(walk.isTruncated ? 'truncated' : 'complete')
  }
}

function byPath(a: ListedFile, b: ListedFile): number {
  return a.path < b.path ? -1 : 1
}

class Walk {
  readonly files: ListedFile[] = []
  isTruncated = false
  readonly #options: Required<FileListOptions>
  readonly #pauseMs: number
  readonly #folders: string[] = ['']
  /** real paths of folders that were reached by links: links can make circles */
  readonly #linked = new Set<string>()

  constructor(options: Required<FileListOptions>, pauseMs: number) {
    this.#options = options
    this.#pauseMs = pauseMs
  }

  /** Walks; yields now and then, with how many files were found. */
  async *steps(): AsyncGenerator<number> {
    const realRoot = await realpath(this.#options.root)
    for (let folder = this.#folders.pop(); folder !== undefined; folder = this.#folders.pop()) {
      const entries = await this.#read(folder)
      for (let at = 0; at < entries.length; at += filesPerBatch) {
        const batch = entries.slice(at, at + filesPerBatch)
        await this.#each(batch, (entry) => this.#add(folder, entry, realRoot))
        if (this.isTruncated) return
        await wait(this.#pauseMs)
        yield this.files.length
      }
    }
  }

  /** @returns nothing for a folder that is gone, or that may not be read */
  async #read(folder: string): Promise<readonly Dirent[]> {
    try {
      const entries = await readdir(this.#absolute(folder), { withFileTypes: true })
      const { dotfiles } = this.#options
      return dotfiles === 'allow' ? entries : entries.filter(({ name }) => !name.startsWith('.'))
    } catch {
      return []
    }
  }

  async #each(entries: readonly Dirent[], use: (entry: Dirent) => Promise<void>): Promise<void> {
    const rest = entries.values()
    const lane = async () => {
      for (const entry of rest) await use(entry)
    }
    await Promise.all(Array.from({ length: atOnce }, lane))
  }

  async #add(folder: string, entry: Dirent, realRoot: string): Promise<void> {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`
    try {
      if (entry.isDirectory()) this.#folders.push(path)
      else if (entry.isFile()) this.#found(path, await promisedStat(this.#absolute(path)))
      else if (entry.isSymbolicLink()) await this.#follow(path, realRoot)
    } catch {
      // gone meanwhile, a link to nothing, or not for us to read
    }
  }

  async #follow(path: string, realRoot: string): Promise<void> {
    if (this.#options.symlinks === 'deny') return
    const target = await realpath(this.#absolute(path))
    if (!target.startsWith(realRoot === '/' ? '/' : `${realRoot}/`)) return
    const stats = await stat(target)
    if (stats.isFile()) this.#found(path, stats)
    if (!stats.isDirectory() || this.#linked.has(target)) return
    this.#linked.add(target)
    this.#folders.push(path)
  }

  #found(path: string, stats: Stats): void {
    if (!stats.isFile()) return
    if (this.files.length === this.#options.maxFiles) this.isTruncated = true
    else this.files.push({ path, size: stats.size })
  }

  #absolute(path: string): string {
    return `${this.#options.root}/${path}`
  }
}

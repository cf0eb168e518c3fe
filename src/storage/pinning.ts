/** Keeps the files that globs name locked in memory, follows those that are replaced, and says what it could not lock. */
import { stat } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import type { Logger } from 'pino'
import { StorageError } from './errors.ts'
import { type Matching, matchingFiles } from './matching-files.ts'
import { sameGeneration } from './native/stat.ts'
import type { Unpinned } from './pinned-files.ts'
import type { Storage } from './storage.ts'
import { warm } from './warm.ts'

// How long the lock stays with what was replaced or deleted, and how often new files are looked for.
const followEveryMs = 2000
const lookEveryMs = 30_000

export interface PinningOptions extends Matching {
  /** globs relative to the root */
  readonly pin: readonly string[]
  /** bytes a second to read at most */
  readonly warmRate: number
}

export class Pinning {
  readonly #options: PinningOptions
  readonly #storage: Pick<Storage, 'catalog' | 'reader' | 'pinned'>
  readonly #log: Logger
  readonly #abort = new AbortController()
  /** by path or glob: what was logged last, so that it is logged once */
  readonly #said = new Map<string, string>()
  /** were pinned, and are not there now: perhaps between two versions of them */
  readonly #lost = new Set<string>()

  constructor(
    options: PinningOptions,
    storage: Pick<Storage, 'catalog' | 'reader' | 'pinned'>,
    log: Logger
  ) {
    this.#options = options
    this.#storage = storage
    this.#log = log
  }

  /** Until it is stopped. */
  async run(everyMs = followEveryMs): Promise<void> {
    if (this.#options.pin.length === 0) return
    const { signal } = this.#abort
    let lookedAtMs = Number.NEGATIVE_INFINITY
    let paths: ReadonlySet<string> = new Set()
    try {
      while (!signal.aborted) {
        const isLooking = performance.now() - lookedAtMs >= lookEveryMs
        if (isLooking) {
          lookedAtMs = performance.now()
          paths = await this.#look()
        }
        for (const path of paths) {
          if (!signal.aborted) await this.#follow(path, isLooking)
        }
        await wait(everyMs, undefined, { signal, ref: false }).catch(() => {})
      }
    } finally {
      this.#storage.pinned.unpinAll()
    }
  }

  stop(): void {
    this.#abort.abort()
  }

  /** Finds the files, and lets go of those that no glob finds any more. */
  async #look(): Promise<ReadonlySet<string>> {
    const { pinned } = this.#storage
    const paths = new Set<string>()
    for (const glob of this.#options.pin) {
      const found = await matchingFiles(glob, this.#options)
      for (const path of found) paths.add(path)
      if (found.length === 0)
        this.#say(glob, 'no file', () => this.#log.warn({ glob }, 'no file to pin'))
      else this.#said.delete(glob)
    }
    for (const path of pinned.paths()) {
      if (!paths.has(path)) pinned.unpin(path)
    }
    for (const about of this.#said.keys()) {
      if (!paths.has(about) && !this.#options.pin.includes(about)) this.#said.delete(about)
    }
    // all are tried again now
    this.#lost.clear()
    return paths
  }

  /** @param isLooking whether to try again what could not be pinned, or only in part */
  async #follow(path: string, isLooking: boolean): Promise<void> {
    const { pinned } = this.#storage
    const known = pinned.of(path)
    if (known !== undefined) {
      const file = `${this.#options.root}/${path}`
      const now = await stat(file, { bigint: true }).catch(() => undefined)
      if (now !== undefined && sameGeneration(now, known.generation)) {
        if (known.isWhole || !isLooking) return
      } else {
        pinned.unpin(path)
        this.#lost.add(path)
      }
    } else if (!isLooking && !this.#lost.has(path)) {
      return
    }
    try {
      await this.#pin(path)
      this.#lost.delete(path)
    } catch (error) {
      if (this.#abort.signal.aborted) return
      if (!(error instanceof StorageError)) throw error
      const { reason } = error
      this.#say(path, reason, () => this.#log.warn({ path, reason }, 'cannot be pinned'))
    }
  }

  async #pin(path: string): Promise<void> {
    const { catalog, reader, pinned } = this.#storage
    const { signal } = this.#abort
    const file = await catalog.open(path, signal)
    try {
      const { size } = file
      const bringIn = (start: number, end: number) =>
        warm(reader, file, [{ start, end }], this.#options.warmRate, signal)
      const reason = await pinned.pin(file, bringIn, signal)
      if (signal.aborted) return
      const pinnedBytes = pinned.bytesOf(file, 0, size)
      const details = { path, bytes: size, pinnedBytes }
      this.#say(path, `${pinnedBytes} of ${size}: ${reason}`, () => {
        if (reason === undefined) this.#log.info(details, 'pinned')
        else this.#log.warn({ ...details, reason }, `not all of it is pinned: ${inWords(reason)}`)
      })
    } finally {
      file.release()
    }
  }

  #say(about: string, what: string, log: () => void): void {
    if (this.#said.get(about) === what) return
    this.#said.set(about, what)
    log()
  }
}

function inWords(reason: Unpinned): string {
  switch (reason) {
    case 'RLIMIT_MEMLOCK':
      return 'RLIMIT_MEMLOCK is used up (ulimit -l, LimitMEMLOCK=)'
    case 'memory':
      return 'three quarters of the memory are pinned'
    case 'maps':
      return 'too many files are pinned'
    default:
      return 'it cannot be mapped'
  }
}

/** Files that are to be in memory before the service is ready: found, read at a bounded rate, and asked about. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Logger } from 'pino'
import type { ByteRange } from '../http/byte-range.ts'
import { StorageError } from './errors.ts'
import { type Matching, matchingFiles } from './matching-files.ts'
import type { OpenFile } from './open-file.ts'
import { mapResidency } from './residency-map.ts'
import type { Storage } from './storage.ts'
import { warm } from './warm.ts'

// between two readings of what would not stay in memory
const pauseMs = 1000

export interface WarmUpOptions extends Matching {
  /** what is to be in memory; `range` in bytes, half-open, undefined: whole files */
  readonly warm: readonly { readonly glob: string; readonly range: ByteRange | undefined }[]
  /** how much of it must be in memory to be done, 0 to 1 */
  readonly warmShare: number
  /** bytes a second to read at most */
  readonly warmRate: number
}

interface Target {
  readonly path: string
  readonly range: ByteRange | undefined
}

export class WarmUp {
  readonly #options: WarmUpOptions
  readonly #storage: Storage
  readonly #log: Logger
  readonly #abort = new AbortController()
  #isDone: boolean
  #wantedBytes = 0
  #residentBytes = 0

  constructor(options: WarmUpOptions, storage: Storage, log: Logger) {
    this.#options = options
    this.#storage = storage
    this.#log = log
    this.#isDone = options.warm.length === 0
  }

  /**
   * Whether enough was in memory at one time. What the kernel evicts afterwards does not end readiness: to send
   * clients to another server for that would only move the load.
   */
  get isDone(): boolean {
    return this.#isDone
  }

  /** How far it is, in words. */
  get progress(): string {
    if (this.#wantedBytes === 0) return 'looking for the files'
    const MiB = 2 ** 20
    return `${Math.floor(this.#residentBytes / MiB)} of ${Math.ceil(this.#wantedBytes / MiB)} MiB are in memory`
  }

  /** Reads what is to be in memory, again and again until enough of it is. */
  async run(): Promise<void> {
    const { warmShare } = this.#options
    while (!this.#isDone && !this.#abort.signal.aborted) {
      const startedAtMs = performance.now()
      await this.#readAll()
      const seconds = Math.round(performance.now() - startedAtMs) / 1000
      this.#isDone = this.#residentBytes >= warmShare * this.#wantedBytes
      const details = { bytes: this.#wantedBytes, residentBytes: this.#residentBytes, seconds }
      if (this.#isDone) this.#log.info(details, 'warm')
      else {
        this.#log.warn(details, 'not warm: is there memory for it? Reading again')
        await wait(pauseMs, undefined, { signal: this.#abort.signal, ref: false }).catch(() => {})
      }
    }
  }

  stop(): void {
    this.#abort.abort()
  }

  async #readAll(): Promise<void> {
    this.#wantedBytes = 0
    this.#residentBytes = 0
    const targets = await this.#targets()
    await this.#each(targets, async (_file, { start, end }) => {
      this.#wantedBytes += end - start
    })
    const { reader } = this.#storage
    const { signal } = this.#abort
    await this.#each(targets, async (file, bytes) => {
      this.#residentBytes += await warm(reader, file, [bytes], this.#options.warmRate, signal)
    })
    // What was read first may be gone again by now: the kernel says, where it can be believed.
    let resident = 0
    await this.#each(targets, async (file, bytes) => {
      const map = await mapResidency(file, bytes.start, bytes.end, 1)
      resident += map.residentBytes ?? bytes.end - bytes.start
    })
    this.#residentBytes = resident
  }

  /** One after the other; a file that fails is logged and left out. */
  async #each(
    targets: readonly Target[],
    use: (file: OpenFile, bytes: ByteRange) => Promise<void>
  ): Promise<void> {
    for (const { path, range } of targets) {
      try {
        const file = await this.#storage.catalog.open(path)
        try {
          const end = Math.min(range?.end ?? file.size, file.size)
          await use(file, { start: Math.min(range?.start ?? 0, end), end })
        } finally {
          file.release()
        }
      } catch (error) {
        if (!(error instanceof StorageError)) throw error
        this.#log.warn({ path: error.path, reason: error.reason }, 'cannot be warmed')
      }
    }
  }

  async #targets(): Promise<readonly Target[]> {
    const targets: Target[] = []
    for (const pattern of this.#options.warm) {
      const paths = await matchingFiles(pattern.glob, this.#options)
      if (paths.length === 0) this.#log.warn({ glob: pattern.glob }, 'no file to warm')
      for (const path of paths) targets.push({ path, range: pattern.range })
    }
    return targets
  }
}

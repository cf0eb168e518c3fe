/** Files that are to be in memory before the service is ready: found, read at a bounded rate, and asked about. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Logger } from 'pino'
import { glob } from 'tinyglobby'
import type { Config, WarmPattern } from '../config/options.ts'
import type { ByteRange } from './byte-source.ts'
import { StorageError } from './errors.ts'
import type { OpenFile } from './open-file.ts'
import { mapResidency } from './residency-map.ts'
import type { Storage } from './storage.ts'
import { warm } from './warm.ts'

// between two readings of what would not stay in memory
const pauseMs = 1000

interface Target {
  readonly path: string
  readonly range: WarmPattern['range']
}

export class WarmUp {
  readonly #config: Config
  readonly #storage: Storage
  readonly #log: Logger
  readonly #abort = new AbortController()
  #isDone: boolean
  #wantedBytes = 0
  #residentBytes = 0

  constructor(config: Config, storage: Storage, log: Logger) {
    this.#config = config
    this.#storage = storage
    this.#log = log
    this.#isDone = config.warm.length === 0
  }

  /**
   * Whether enough was in memory once. What the kernel evicts afterwards makes nobody unready: a server that
   * leaves its clients to others for that would only move the load.
   */
  get isDone(): boolean {
    return this.#isDone
  }

  /** For whoever waits: how far it is. */
  get progress(): string {
    if (this.#wantedBytes === 0) return 'looking for the files'
    const MiB = 2 ** 20
    return `${Math.floor(this.#residentBytes / MiB)} of ${Math.ceil(this.#wantedBytes / MiB)} MiB are in memory`
  }

  /** Reads what is to be in memory, again and again until enough of it is. */
  async run(): Promise<void> {
    const { warmShare } = this.#config
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
      this.#residentBytes += await warm(reader, file, [bytes], this.#config.warmRate, signal)
    })
    // What was read first may be gone again by now: the kernel says, where it can be believed.
    let resident = 0
    await this.#each(targets, async (file, bytes) => {
      const map = await mapResidency(file, bytes.start, bytes.end, 1)
      resident += map.residentBytes ?? bytes.end - bytes.start
    })
    this.#residentBytes = resident
  }

  /** One after the other; a file that fails is told of, and left out. */
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
    const { root, dotfiles } = this.#config
    const targets: Target[] = []
    for (const pattern of this.#config.warm) {
      const options = { cwd: root, dot: dotfiles === 'allow', onlyFiles: true }
      const paths = await glob([pattern.glob], options)
      if (paths.length === 0) this.#log.warn({ glob: pattern.glob }, 'no file to warm')
      for (const path of paths.sort()) targets.push({ path, range: pattern.range })
    }
    return targets
  }
}

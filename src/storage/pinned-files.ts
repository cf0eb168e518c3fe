/**
 * Files whose pages are locked in memory. Each has a mapping of its own that nothing reads: it only holds the lock,
 * so that the mode, and regions that come and go, do not matter.
 */
import { totalmem } from 'node:os'
import { StorageError } from './errors.ts'
import { bringInLocked, lockOnFault, unlock } from './native/locking.ts'
import { MappingError, mapAddress, unmapAddress } from './native/mapping.ts'
import { pageBytes } from './native/page-size.ts'
import { type Generation, sameGeneration } from './native/stat.ts'
import type { OpenFile } from './open-file.ts'
import { mapLimit } from './regions.ts'

/**
 * Why a part of a file is not locked: `RLIMIT_MEMLOCK` is used up; `memory`: more would leave too little of it to
 * everything else; `maps`: there are too many files; or the kernel's reason for not mapping it.
 */
export type Unpinned = 'RLIMIT_MEMLOCK' | 'memory' | 'maps' | (string & {})

interface Pinned {
  readonly generation: Generation
  readonly address: number
  /** bytes of the file from its beginning that are locked: whole pages, or up to its end */
  bytes: number
}

export interface PinnedLimits {
  /** bytes that may be locked, whatever RLIMIT_MEMLOCK is */
  readonly maxBytes: number
  /** files, of which each takes a mapping */
  readonly maxFiles: number
}

// locked in one step, and read before in one
const pieceBytes = 8 * 2 ** 20

export class PinnedFiles {
  readonly #files = new Map<string, Pinned>()
  readonly #limits: PinnedLimits
  #bytes = 0

  constructor(limits: PinnedLimits = standardLimits()) {
    this.#limits = limits
  }

  /** bytes of files that are locked */
  get bytes(): number {
    return this.#bytes
  }

  paths(): readonly string[] {
    return [...this.#files.keys()]
  }

  /** Bytes of [start, end) that are locked, of this generation of a file. */
  bytesOf({ path, freshness }: OpenFile, start: number, end: number): number {
    const pinned = this.#files.get(path)
    if (pinned === undefined || !sameGeneration(pinned.generation, freshness.generation)) return 0
    return Math.max(0, Math.min(end, pinned.bytes) - start)
  }

  /** The generation that is locked, and whether all of it is. */
  of(path: string): { readonly generation: Generation; readonly isWhole: boolean } | undefined {
    const pinned = this.#files.get(path)
    if (pinned === undefined) return undefined
    const { generation, bytes } = pinned
    return { generation, isWhole: bytes === Number(generation.size) }
  }

  /**
   * Lock the pages of a file, from its beginning, or on from where it was locked before, as far as the limits go.
   * @param bringIn reads bytes [start, end) into memory; a lock would bring them in one by one
   * @param signal calls it off between two pieces
   * @returns why not all of it is locked; undefined when all is, or when it was called off
   * @throws StorageError READ_FAILED, SHORT_READ; what `bringIn` throws
   */
  async pin(
    file: OpenFile,
    bringIn: (start: number, end: number) => Promise<unknown>,
    signal: AbortSignal
  ): Promise<Unpinned | undefined> {
    if (file.size === 0) return undefined
    let pinned = this.#files.get(file.path)
    if (pinned === undefined || !sameGeneration(pinned.generation, file.freshness.generation)) {
      this.unpin(file.path)
      if (this.#files.size >= this.#limits.maxFiles) return 'maps'
      try {
        const address = mapAddress(file.fd, 0, file.size)
        pinned = { generation: file.freshness.generation, address, bytes: 0 }
      } catch (error) {
        if (!(error instanceof MappingError)) throw error
        return error.reason
      }
      this.#files.set(file.path, pinned)
    }
    return this.#lockRest(file, pinned, bringIn, signal)
  }

  async #lockRest(
    file: OpenFile,
    pinned: Pinned,
    bringIn: (start: number, end: number) => Promise<unknown>,
    signal: AbortSignal
  ): Promise<Unpinned | undefined> {
    for (let wanted = pieceBytes; pinned.bytes < file.size && !signal.aborted; ) {
      const start = pinned.bytes
      const length = Math.min(wanted, file.size - start)
      const address = pinned.address + start
      const isTooMuch = this.#bytes + length > this.#limits.maxBytes
      const refusal = isTooMuch ? 'memory' : lockOnFault(address, length)
      if (refusal !== undefined) {
        // what is left of a limit may be enough for less
        if (wanted <= pageBytes) return isLimit(refusal) ? 'RLIMIT_MEMLOCK' : refusal
        wanted = Math.ceil(Math.min(wanted, length) / 2 / pageBytes) * pageBytes
        continue
      }
      try {
        await bringIn(start, start + length)
        if (!(await bringInLocked(address, length))) {
          throw new StorageError('READ_FAILED', file.path, { offset: start })
        }
      } catch (error) {
        unlock(address, length)
        throw error
      }
      pinned.bytes += length
      this.#bytes += length
    }
    return undefined
  }

  unpin(path: string): void {
    const pinned = this.#files.get(path)
    if (pinned === undefined) return
    this.#files.delete(path)
    this.#bytes -= pinned.bytes
    unmapAddress(pinned.address, Number(pinned.generation.size))
  }

  unpinAll(): void {
    for (const path of this.paths()) this.unpin(path)
  }
}

/** @see mlock(2), ERRORS */
function isLimit(reason: string): boolean {
  return reason === 'ENOMEM' || reason === 'EPERM' || reason === 'EAGAIN'
}

/**
 * Locked pages cannot be reclaimed. A process that may lock as much as it likes must leave memory to itself, to other
 * files and to the machine: a cgroup without any kills.
 */
function standardLimits(): PinnedLimits {
  // 0 where there is no limit that Node can tell
  const granted = process.constrainedMemory() || Number.POSITIVE_INFINITY
  const maxBytes = Math.floor(0.75 * Math.min(granted, totalmem()))
  // half of the mappings are for regions, a quarter for those that wait to be collected
  return { maxBytes, maxFiles: Math.floor(mapLimit() / 8) }
}

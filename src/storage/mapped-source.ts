/**
 * Windows from the mapped regions of a file. With the guard, a window is sent from its mapping only if the
 * kernel says that it is resident; the others are read, which warms their pages for the next request.
 */
import type { ByteSource, Window } from './byte-source.ts'
import type { Counters } from './counters.ts'
import { readCached } from './native/cached-read.ts'
import { populate } from './native/mapping.ts'
import { isResident } from './native/residency.ts'
import type { OpenFile } from './open-file.ts'
import { ReadWindow } from './read-source.ts'
import type { Region, RegionTable } from './regions.ts'
import type { WindowBuffers } from './window-buffers.ts'

export interface MappedSourceOptions {
  readonly regions: RegionTable
  /** for cold windows and for files that cannot be mapped */
  readonly fallback: ByteSource
  readonly buffers: WindowBuffers
  readonly counters: Counters
  /** most bytes of one window */
  readonly windowBytes: number
  /** false: no residency check, the textbook way, in which a cold page stops everybody */
  readonly isGuarded: boolean
}

export class MappedSource implements ByteSource {
  readonly sendsMapped = true
  readonly #options: MappedSourceOptions

  constructor(options: MappedSourceOptions) {
    this.#options = options
  }

  now(file: OpenFile, start: number, end: number): Window | undefined {
    const { regions, counters, windowBytes, isGuarded } = this.#options
    // a change between the look at its generation and the write would be sent; a copy is checked after it was made
    if (isGuarded && file.isVolatile) return undefined
    if (isGuarded && !file.isTrusted) return this.#copyCached(file, start, end)
    const region = regions.at(file, start)
    if (region === undefined) return this.#copyCached(file, start, end)
    const from = start - region.offset
    const to = Math.min(end - region.offset, from + windowBytes, region.length)
    if (isGuarded && !isResident(region.mapping, from, to)) {
      counters.checks.cold++
      return undefined
    }
    if (isGuarded) counters.checks.resident++
    return new MappedWindow(regions, region, from, to)
  }

  later(file: OpenFile, start: number, end: number, mayRefuse?: boolean): Promise<Window> {
    return this.#options.fallback.later(file, start, end, mayRefuse)
  }

  /**
   * Where mincore(2) lies, and where nothing can be mapped, a read that takes only what is in the page cache
   * answers both questions at once, whether the window is resident and what is in it, with no gap between.
   * It costs a copy, but no thread and no wait.
   */
  #copyCached(file: OpenFile, start: number, end: number): Window | undefined {
    const { counters, buffers, windowBytes } = this.#options
    if (file.cannotReadCached) {
      counters.checks.unknown++
      return undefined
    }
    const length = Math.min(end - start, windowBytes)
    const buffer = buffers.take(length)
    const count = readCached(file.fd, buffer, length, start)
    if (count === length) {
      counters.checks.resident++
      return new ReadWindow(buffer, length, buffers)
    }
    buffers.giveBack(buffer)
    if (count === 'unsupported') {
      file.cannotReadCached = true
      counters.checks.unknown++
    } else {
      counters.checks.cold++
    }
    return undefined
  }
}

/** A slice of a region, which stays mapped until the window is released. */
class MappedWindow implements Window {
  readonly source = 'mapped'
  readonly bytes: Uint8Array
  readonly #regions: RegionTable
  readonly #region: Region

  constructor(regions: RegionTable, region: Region, from: number, to: number) {
    this.#regions = regions
    this.#region = region
    this.bytes = region.mapping.bytes.subarray(from, to)
    regions.retain(region)
  }

  faultIn(): void {
    const { mapping } = this.#region
    const from = this.bytes.byteOffset - mapping.bytes.byteOffset
    populate(mapping, from, from + this.bytes.length)
  }

  release(): void {
    this.#regions.release(this.#region)
  }
}

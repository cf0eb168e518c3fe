/**
 * Windows from the mapped regions of a file. With the guard, a window is sent from its mapping only if the
 * kernel says that it is resident; the others are read, which warms their pages for the next request. What was cold
 * often lately, or was read ahead of a client that reads in order, is copied: its pages are not worth a mapping.
 */
import type { ByteSource, CopiedWindow, ReadOptions, Window } from './byte-source.ts'
import type { CopySource } from './copy-source.ts'
import type { Counters } from './counters.ts'
import { populate } from './native/mapping.ts'
import { isResident } from './native/residency.ts'
import type { OpenFile } from './open-file.ts'
import type { Readahead } from './readahead.ts'
import type { Region, RegionTable } from './regions.ts'

export interface MappedSourceOptions {
  readonly regions: RegionTable
  /** for cold windows, and for files that are not or cannot be mapped */
  readonly copies: CopySource
  readonly readahead: Readahead
  readonly counters: Counters
  /** most bytes of one window */
  readonly windowBytes: number
  /** of a file that was not asked for often, so many bytes are copied; 0: none */
  readonly smallBytes: number
  /** false: no residency check, the textbook way, in which a cold page stops every connection */
  readonly isGuarded: boolean
}

export class MappedSource implements ByteSource {
  readonly #options: MappedSourceOptions

  constructor(options: MappedSourceOptions) {
    this.#options = options
  }

  tryRead(file: OpenFile, start: number, end: number): Window | undefined {
    const { regions, copies, readahead, counters, windowBytes, smallBytes, isGuarded } =
      this.#options
    const isRare =
      end - start <= smallBytes && file.timesAsked < asksBeforeMapping(file, smallBytes)
    // a file that is not kept would leave its regions behind
    if (!file.isKept || (isRare && copies.canCopy(file))) return copies.tryRead(file, start, end)
    // A mapped window shows what the file holds when the kernel takes it. While a file is likely to change, its
    // windows are copies, which are checked after they were made.
    if (isGuarded && !(file.isTrusted && file.freshness.isQuiet)) {
      return copies.tryRead(file, start, end)
    }
    const region = regions.at(file.regions, start)
    if (region === undefined) return copies.tryRead(file, start, end)
    const from = start - region.offset
    const to = Math.min(end - region.offset, from + windowBytes, region.length)
    if (isGuarded) {
      if (!isResident(region.mapping, from, to)) {
        region.recentlyCold.mark(from)
        counters.checks.cold++
        return undefined
      }
      if (!region.recentlyCold.isStaying(from) || readahead.goesOnAt(file, start)) {
        const copy = copies.tryRead(file, start, end)
        if (copy !== undefined) return copy
        // there is no buffer or no such read; or a page was reclaimed at this moment
        if (!isResident(region.mapping, from, to)) return undefined
      }
      counters.checks.resident++
      readahead.taken(file, start, region.offset + to, end, false)
    }
    return new MappedWindow(regions, region, from, to)
  }

  read(file: OpenFile, start: number, end: number, options?: ReadOptions): Promise<CopiedWindow> {
    const { copies } = this.#options
    // otherwise nobody could tell
    const isCold = file.isTrusted || copies.canCopy(file)
    return copies.read(file, start, end, { ...options, isCold })
  }
}

/**
 * A mapping pays off when it is used again: to map and to unmap costs as much as dozens of small copies. A small file
 * is one of many as a rule, and gone from the catalog after a few requests.
 */
function asksBeforeMapping({ size }: OpenFile, smallBytes: number): number {
  return size <= smallBytes ? 5 : 2
}

/** A slice of a region, which stays mapped until the window is released. */
class MappedWindow implements Window {
  readonly source = 'mapped'
  readonly address: number
  readonly length: number
  readonly copy: undefined
  readonly #regions: RegionTable
  readonly #region: Region

  constructor(regions: RegionTable, region: Region, from: number, to: number) {
    this.#regions = regions
    this.#region = region
    this.address = region.mapping.address + from
    this.length = to - from
    regions.retain(region)
  }

  faultIn(): void {
    const { mapping } = this.#region
    const from = this.address - mapping.address
    populate(mapping, from, from + this.length)
  }

  release(): void {
    this.#regions.release(this.#region)
  }
}

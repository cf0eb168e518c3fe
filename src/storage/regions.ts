/**
 * The mapped regions of all open files: maps what is asked for, keeps the sum below a limit by letting the
 * least recently used go, and never lets one go that a response still uses. It knows nothing of residency.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type Counters, countReason } from './counters.ts'
import { untouch } from './native/advice.ts'
import { type Mapping, MappingError, map, revoke } from './native/mapping.ts'
import { pageBytes } from './native/page-size.ts'
import { RecentlyCold } from './recently-cold.ts'

/** One mapped extent of one generation of a file. */
export class Region {
  /** bytes from the beginning of the file at which it starts */
  readonly offset: number
  readonly mapping: Mapping
  readonly owner: FileRegions
  readonly recentlyCold: RecentlyCold
  /** claims that keep it mapped */
  leases = 0
  /** its owner is gone, or its place was needed: it is unmapped with its last lease */
  retired = false

  constructor(owner: FileRegions, offset: number, mapping: Mapping) {
    this.owner = owner
    this.offset = offset
    this.mapping = mapping
    this.recentlyCold = new RecentlyCold(mapping.bytes.length)
  }

  get length(): number {
    return this.mapping.bytes.length
  }

  /** address space that it takes: whole pages */
  get mappedBytes(): number {
    return wholePages(this.length)
  }
}

/** The regions of one open file; what is in it is the table's alone. */
export class FileRegions {
  readonly fd: number
  /** bytes */
  readonly size: number
  /** by index: offset / region size; undefined until mapped */
  readonly mapped: (Region | undefined)[] = []
  /** why nothing of it can be mapped (ENODEV, EACCES …): never tried again */
  unmappable: string | undefined
  /** the file was let go: nothing may be mapped any more, because nothing would unmap it */
  isClosed = false

  constructor(fd: number, size: number) {
    this.fd = fd
    this.size = size
  }
}

export interface RegionLimits {
  /** size of one region; a multiple of the page size below 2 GiB */
  readonly regionBytes: number
  /** most address space that all regions may take together */
  readonly maxMappedBytes: number
  /** most mappings that the kernel grants a process, vm.max_map_count; default: as it is set */
  readonly maxMaps?: number
}

export class RegionTable {
  readonly #limits: RegionLimits
  readonly #counters: Counters
  // In order of use, least recent first. A region leaves it when it is let go.
  readonly #mapped = new Set<Region>()
  #newest: Region | undefined
  #mappedBytes = 0
  /** The others are for V8, for malloc and for threads, which end the process when they get none. */
  readonly #maxRegions: number
  /** let go, but still mappings, inaccessible, until the garbage collector has run */
  #reserved = 0
  readonly #maxReserved: number
  readonly #collected = new FinalizationRegistry<undefined>(() => {
    this.#reserved--
  })

  constructor(limits: RegionLimits, counters: Counters) {
    this.#limits = limits
    this.#counters = counters
    const { maxMaps = mapLimit() } = limits
    this.#maxRegions = Math.floor(maxMaps / 2)
    this.#maxReserved = Math.floor(maxMaps / 4)
  }

  /** address space taken by regions, in bytes */
  get mappedBytes(): number {
    return this.#mappedBytes
  }

  get count(): number {
    return this.#mapped.size
  }

  /** claims on all regions together */
  get leases(): number {
    let sum = 0
    for (const { leases } of this.#mapped) sum += leases
    return sum
  }

  /**
   * The region that holds a byte of a file, mapped now if it was not; undefined, and counted with its
   * reason, when it cannot be mapped, or its file was let go. Not leased: retain it before anything else can run.
   * @param position bytes from the beginning of the file, < owner.size
   */
  at(owner: FileRegions, position: number): Region | undefined {
    const index = Math.floor(position / this.#limits.regionBytes)
    const region = owner.mapped[index] ?? this.#map(owner, index)
    if (region !== undefined && region !== this.#newest) {
      this.#mapped.delete(region)
      this.#mapped.add(region)
      this.#newest = region
    }
    return region
  }

  retain(region: Region): void {
    region.leases++
  }

  release(region: Region): void {
    assert(region.leases > 0, 'a region was released more often than retained')
    region.leases--
    if (region.leases === 0 && region.retired) this.#unmap(region)
  }

  /** Let go of all regions of a file: at once, or each with its last lease. */
  retireAll(owner: FileRegions): void {
    owner.isClosed = true
    for (const region of owner.mapped) {
      if (region !== undefined) this.#retire(region)
    }
  }

  /** Lets the pages of a file leave the page cache: the mappings stay, as if they had never been touched. */
  untouchAll(owner: FileRegions): void {
    for (const region of owner.mapped) {
      if (region !== undefined) untouch(region.mapping.address, region.mappedBytes)
    }
  }

  #map(owner: FileRegions, index: number): Region | undefined {
    if (owner.isClosed) return undefined
    if (owner.unmappable !== undefined) {
      countReason(this.#counters.mappingFailures, owner.unmappable)
      return undefined
    }
    const offset = index * this.#limits.regionBytes
    const length = Math.min(this.#limits.regionBytes, owner.size - offset)
    if (!this.#makeRoom(wholePages(length))) {
      countReason(this.#counters.mappingFailures, 'limit')
      return undefined
    }
    const mapping = this.#tryMap(owner, offset, length)
    if (mapping === undefined) return undefined
    const region = new Region(owner, offset, mapping)
    owner.mapped[index] = region
    this.#mapped.add(region)
    this.#mappedBytes += region.mappedBytes
    return region
  }

  #tryMap(owner: FileRegions, offset: number, length: number): Mapping | undefined {
    for (let attempt = 0; ; attempt++) {
      try {
        return map(owner.fd, offset, length)
      } catch (error) {
        if (!(error instanceof MappingError)) throw error
        // Too many mappings or too little address space: letting one go may help. Tried once: if it
        // still fails, the lack is not caused by regions, and the window is read.
        if (error.reason === 'ENOMEM' && attempt === 0 && this.#evictOne()) continue
        // what the file or the platform refuses once it refuses always; a lack of room may pass
        if (error.reason !== 'ENOMEM' && error.reason !== 'EAGAIN') owner.unmappable = error.reason
        countReason(this.#counters.mappingFailures, error.reason)
        return undefined
      }
    }
  }

  /** Whether `length` more bytes and one more region fit below the limits, after letting go what is not in use. */
  #makeRoom(length: number): boolean {
    const { maxMappedBytes } = this.#limits
    if (length > maxMappedBytes || this.#reserved >= this.#maxReserved) return false
    while (
      this.#mappedBytes + length > maxMappedBytes ||
      this.#mapped.size + 1 > this.#maxRegions
    ) {
      if (!this.#evictOne()) return false
    }
    return true
  }

  #evictOne(): boolean {
    for (const region of this.#mapped) {
      if (region.leases > 0) continue
      this.#retire(region)
      this.#counters.regionEvictions++
      return true
    }
    return false
  }

  #retire(region: Region): void {
    region.retired = true
    region.owner.mapped[region.offset / this.#limits.regionBytes] = undefined
    if (region.leases === 0) this.#unmap(region)
  }

  #unmap(region: Region): void {
    this.#mapped.delete(region)
    if (this.#newest === region) this.#newest = undefined
    this.#mappedBytes -= region.mappedBytes
    this.#reserved++
    this.#collected.register(region.mapping.bytes.buffer, undefined)
    try {
      revoke(region.mapping)
    } catch (error) {
      if (!(error instanceof MappingError)) throw error
      // the kernel has no room to split a mapping; the garbage collector unmaps it later
      countReason(this.#counters.mappingFailures, error.reason)
    }
  }
}

/** Most mappings that the kernel grants a process. @see proc_sys_vm(5) */
export function mapLimit(): number {
  try {
    return Number(readFileSync('/proc/sys/vm/max_map_count', 'utf8'))
  } catch {
    return 65_530
  }
}

function wholePages(length: number): number {
  return Math.ceil(length / pageBytes) * pageBytes
}

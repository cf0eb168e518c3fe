/** Storage as a whole: put together from the configuration, opened once and closed once. */
import type { ByteSource } from './byte-source.ts'
import { Catalog } from './catalog.ts'
import { CopySource } from './copy-source.ts'
import { type Counters, createCounters } from './counters.ts'
import { MappedSource } from './mapped-source.ts'
import { disableReadahead } from './native/advice.ts'
import type { OpenFile, SymlinkPolicy } from './open-file.ts'
import { PinnedFiles } from './pinned-files.ts'
import { ReadSource } from './read-source.ts'
import { Readahead } from './readahead.ts'
import { RegionTable } from './regions.ts'
import { PoolShare, poolThreads, sharesOf } from './thread-pool.ts'
import { WindowBuffers } from './window-buffers.ts'

// a page of most machines: the least that is worth a read of its own
const leastCopyBytes = 4096

export interface StorageOptions {
  readonly root: string
  readonly mode: 'mmap' | 'read'
  /** false: mapped windows are sent without asking whether they are resident */
  readonly isGuarded: boolean
  readonly windowBytes: number
  readonly regionBytes: number
  readonly maxMappedBytes: number
  readonly maxOpenFiles: number
  readonly revalidateMs: number
  /** requests that may wait for a read, and as many again for the opening of a file */
  readonly maxWaitingReads: number
  /** of copied windows in use at once */
  readonly maxBufferedBytes: number
  /**
   * Up to so many bytes are copied on the event loop, of a file that is seen for the first time; such a small file is
   * closed afterwards. Default: 128 KiB, which are copied in less time than a mapping or a thread costs
   */
  readonly smallBytes?: number
  readonly symlinks: SymlinkPolicy
  readonly dotfiles: 'allow' | 'deny'
}

export interface Storage {
  readonly catalog: Catalog
  /** as the mode wants it */
  readonly source: ByteSource
  /** without mappings in either mode: for answers that are not written to a plain socket */
  readonly copies: ByteSource
  /** by fs.read in either mode: to have bytes in memory */
  readonly reader: ByteSource
  readonly regions: RegionTable
  /** whose pages are locked in memory */
  readonly pinned: PinnedFiles
  readonly buffers: WindowBuffers
  readonly counters: Counters
  /** of reads on the thread pool */
  readonly reads: PoolShare
  close(): void
}

/** @throws the system's error when the root cannot be looked at */
export async function openStorage(options: StorageOptions): Promise<Storage> {
  const { windowBytes, isGuarded, maxWaitingReads } = options
  const isMapping = options.mode === 'mmap'
  // the textbook way maps everything
  const smallBytes = isMapping && !isGuarded ? 0 : (options.smallBytes ?? 128 * 1024)
  const counters = createCounters()
  const buffers = new WindowBuffers(options.maxBufferedBytes)
  const regions = new RegionTable(options, counters)
  const { readers, readersOfOne } = sharesOf(poolThreads())
  const reads = new PoolShare({
    what: 'reads',
    maxRunning: readers,
    maxOfOne: readersOfOne,
    maxWaiting: maxWaitingReads
  })
  const readahead = new Readahead(reads, isMapping && isGuarded)
  // so that the budget is never one client's alone
  const copiedBytes = Math.min(windowBytes, Math.max(leastCopyBytes, options.maxBufferedBytes / 4))
  const reader = new ReadSource(buffers, copiedBytes, reads, readahead)
  const copies = new CopySource({ reader, readahead, buffers, counters, windowBytes: copiedBytes })
  const source = isMapping
    ? new MappedSource({ regions, copies, readahead, counters, windowBytes, smallBytes, isGuarded })
    : // what the thread pool costs is much for a few bytes that are in memory, and little for many
      new CopySource({
        reader,
        readahead,
        buffers,
        counters,
        windowBytes: copiedBytes,
        isCopied: (file, length) =>
          length <= smallBytes && (file.size <= smallBytes || file.timesAsked === 1)
      })
  const catalog = await Catalog.open({
    ...options,
    maxWaiting: maxWaitingReads,
    smallFileBytes: smallBytes,
    whenOpened: (file: OpenFile) => {
      // Pages that the kernel read ahead carry a mark: a touch of one in a mapping starts the next readahead,
      // and waits for a place in the queue of the disk. That would be the event loop.
      if (isMapping && isGuarded) disableReadahead(file.fd)
    },
    whenRetired: (file: OpenFile) => regions.retireAll(file.regions)
  })
  return {
    catalog,
    source,
    copies,
    reader,
    reads,
    regions,
    pinned: new PinnedFiles(),
    buffers,
    counters,
    close: () => catalog.close()
  }
}

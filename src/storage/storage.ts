/** Storage as a whole: put together from the configuration, opened once and closed once. */
import type { ByteSource } from './byte-source.ts'
import { Catalog } from './catalog.ts'
import { type Counters, createCounters } from './counters.ts'
import { MappedSource } from './mapped-source.ts'
import { disableReadahead } from './native/advice.ts'
import type { OpenFile, SymlinkPolicy } from './open-file.ts'
import { ReadSource } from './read-source.ts'
import { RegionTable } from './regions.ts'
import { poolThreads, StorageQueue, sharesOf } from './storage-queue.ts'
import { WindowBuffers } from './window-buffers.ts'

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
  readonly symlinks: SymlinkPolicy
}

export interface Storage {
  readonly catalog: Catalog
  readonly source: ByteSource
  /** by fs.read in either mode: for who wants bytes to be in memory */
  readonly reader: ReadSource
  readonly regions: RegionTable
  readonly counters: Counters
  /** of reads on the thread pool */
  readonly reads: StorageQueue
  /** open descriptors of files, those of running responses included */
  close(): void
}

// Idle buffers kept for the next window: enough for the busiest moments, nothing beside the page cache.
const maxIdleBufferBytes = 32 * 2 ** 20

/** @throws the system's error when the root cannot be looked at */
export async function openStorage(options: StorageOptions): Promise<Storage> {
  const counters = createCounters()
  const buffers = new WindowBuffers(maxIdleBufferBytes)
  const regions = new RegionTable(options, counters)
  const { windowBytes, isGuarded, maxWaitingReads } = options
  const { readers, readersOfOne } = sharesOf(poolThreads())
  const queue = new StorageQueue({
    what: 'reads',
    maxRunning: readers,
    maxOfOne: readersOfOne,
    maxWaiting: maxWaitingReads
  })
  const read = new ReadSource(buffers, windowBytes, queue)
  const source =
    options.mode === 'read'
      ? read
      : new MappedSource({ regions, fallback: read, buffers, counters, windowBytes, isGuarded })
  const catalog = await Catalog.open({
    ...options,
    maxWaiting: maxWaitingReads,
    whenOpened: (file: OpenFile) => {
      // Pages that the kernel read ahead carry a mark: who touches one in a mapping starts the next readahead,
      // and waits for a place in the queue of the disk. That would be the event loop.
      if (options.mode === 'mmap' && isGuarded) disableReadahead(file.fd)
    },
    whenRetired: (file: OpenFile) => regions.retireAll(file)
  })
  return {
    catalog,
    source,
    reader: read,
    reads: queue,
    regions,
    counters,
    close: () => catalog.close()
  }
}

/** What is measured, as data. */
import type { Access } from '#src/advise/access.ts'

const KiB = 1024
const MiB = 1024 * KiB

export interface Load extends Access {
  readonly connections: number
  /** requests per second, over all connections; undefined: each asks again as soon as it is answered */
  readonly rate?: number
  /** each range once, so that what was cold is not asked for again when it is hot; ends when all were answered */
  readonly isOnce?: true
}

export interface Scenario {
  readonly name: string
  readonly says: string
  /**
   * `main`: fits into memory; `large`: does not fit into the limit; `shrinking`: cut in half meanwhile; `small`: many
   * small files, of which each request asks for one
   */
  readonly file: 'main' | 'large' | 'shrinking' | 'small'
  /** what of the file is in memory before a trial; a trial whose state cannot be proved says so */
  readonly cache: 'hot' | 'cold'
  readonly load: Load
  /** reads the large file, cold, meanwhile; its own latency is not what is asked for */
  readonly background?: Load
  /** of the service's memory cgroup */
  readonly memoryLimitBytes?: number
  /** processes of the service; undefined: one */
  readonly workers?: number
  /** the server runs on any CPU, so that its threads are on several */
  readonly isUnpinned?: true
  /** when it runs without being named */
  readonly runs: 'quick' | 'default' | 'named'
}

const hot = { file: 'main', cache: 'hot', runs: 'default' } as const

export const scenarios: readonly Scenario[] = [
  {
    ...hot,
    name: 'hot-4k',
    says: 'random 4 KiB ranges, all in memory',
    load: { pattern: 'uniform', rangeBytes: 4 * KiB, connections: 32 },
    runs: 'quick'
  },
  {
    ...hot,
    name: 'hot-64k',
    says: 'random 64 KiB ranges, all in memory',
    load: { pattern: 'uniform', rangeBytes: 64 * KiB, connections: 32 },
    runs: 'quick'
  },
  {
    ...hot,
    name: 'hot-1m',
    says: 'random 1 MiB ranges, all in memory',
    load: { pattern: 'uniform', rangeBytes: MiB, connections: 16 },
    runs: 'quick'
  },
  {
    ...hot,
    name: 'hot-16m',
    says: 'random 16 MiB ranges, all in memory',
    load: { pattern: 'uniform', rangeBytes: 16 * MiB, connections: 4 }
  },
  {
    ...hot,
    name: 'whole',
    says: 'the whole file without a Range, in memory',
    load: { pattern: 'whole', rangeBytes: MiB, connections: 4 },
    runs: 'named'
  },
  {
    ...hot,
    name: 'multi',
    says: 'eight ranges of 4 KiB in each request, all in memory',
    load: { pattern: 'multi', rangeBytes: 4 * KiB, connections: 16 },
    runs: 'named'
  },
  {
    ...hot,
    name: 'zipf-16k',
    says: '16 KiB ranges of which few are asked for often, all in memory',
    load: { pattern: 'zipf', rangeBytes: 16 * KiB, connections: 64 },
    runs: 'named'
  },
  {
    ...hot,
    name: 'tiles',
    says: 'a tile map: header, directory, neighbouring tiles; all in memory',
    load: { pattern: 'tiles', rangeBytes: 16 * KiB, connections: 32 },
    runs: 'named'
  },
  {
    ...hot,
    name: 'columns',
    says: 'a column store: footer first, then chunks of columns; all in memory',
    load: { pattern: 'columns', rangeBytes: 512 * KiB, connections: 8 },
    runs: 'named'
  },
  {
    ...hot,
    name: 'one-connection',
    says: 'random 4 KiB ranges in memory, one after the other',
    load: { pattern: 'uniform', rangeBytes: 4 * KiB, connections: 1 },
    runs: 'named'
  },
  {
    ...hot,
    name: 'many-connections',
    says: 'random 4 KiB ranges in memory, 256 connections',
    load: { pattern: 'uniform', rangeBytes: 4 * KiB, connections: 256 },
    runs: 'named'
  },
  {
    ...hot,
    name: 'fixed-rate',
    says: 'random 16 KiB ranges in memory, 2,000 a second whatever the answers take',
    load: { pattern: 'uniform', rangeBytes: 16 * KiB, connections: 32, rate: 2000 },
    runs: 'named'
  },
  {
    ...hot,
    name: 'workers',
    says: 'random 4 KiB ranges in memory, two processes of the service',
    load: { pattern: 'uniform', rangeBytes: 4 * KiB, connections: 32 },
    workers: 2,
    runs: 'named'
  },
  {
    ...hot,
    name: 'any-cpu',
    says: 'random 64 KiB ranges in memory, the server not kept on one CPU',
    load: { pattern: 'uniform', rangeBytes: 64 * KiB, connections: 32 },
    isUnpinned: true,
    runs: 'named'
  },
  {
    ...hot,
    name: 'small-files',
    file: 'small',
    says: 'one of 20,000 files of 16 KiB, whole, all in memory: more than any server keeps open',
    load: { pattern: 'whole', rangeBytes: 16 * KiB, connections: 32 },
    runs: 'named'
  },
  {
    name: 'cold-64k',
    says: 'a file that nobody has read, in 64 KiB ranges in random order, each once',
    file: 'main',
    cache: 'cold',
    load: { pattern: 'uniform', rangeBytes: 64 * KiB, connections: 8, isOnce: true },
    runs: 'default'
  },
  {
    name: 'scan',
    says: 'a file that nobody has read, from one end to the other in 1 MiB ranges, once',
    file: 'large',
    cache: 'cold',
    load: { pattern: 'sequential', rangeBytes: MiB, connections: 1, isOnce: true },
    runs: 'named'
  },
  {
    name: 'scan-larger',
    says: 'a file four times as large as the memory of the service, from one end to the other in 1 MiB ranges, once',
    file: 'large',
    cache: 'cold',
    load: { pattern: 'sequential', rangeBytes: MiB, connections: 1, isOnce: true },
    memoryLimitBytes: 192 * MiB,
    runs: 'named'
  },
  {
    name: 'sequential-cold',
    says: 'a file that nobody has read, once, from one end to the other in 16 MiB ranges',
    file: 'large',
    cache: 'cold',
    load: { pattern: 'sequential', rangeBytes: 16 * MiB, connections: 1, isOnce: true },
    runs: 'named'
  },
  {
    name: 'larger-than-memory',
    says: 'random 64 KiB ranges of a file four times as large as the memory that the service may use',
    file: 'large',
    cache: 'cold',
    load: { pattern: 'uniform', rangeBytes: 64 * KiB, connections: 16 },
    memoryLimitBytes: 192 * MiB,
    runs: 'default'
  },
  {
    name: 'stall',
    says: 'random 4 KiB ranges in memory, 1,000 a second, while eight others read what is not',
    file: 'main',
    cache: 'hot',
    load: { pattern: 'uniform', rangeBytes: 4 * KiB, connections: 4, rate: 1000 },
    background: { pattern: 'uniform', rangeBytes: 64 * KiB, connections: 8, rate: 800 },
    runs: 'quick'
  },
  {
    name: 'truncate',
    says: 'random 16 KiB ranges of a file that is cut in half meanwhile; failures are expected, death is not',
    file: 'shrinking',
    cache: 'hot',
    load: { pattern: 'uniform', rangeBytes: 16 * KiB, connections: 16 },
    runs: 'named'
  }
]

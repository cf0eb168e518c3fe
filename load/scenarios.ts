/** What is measured, as data. */
import type { Access } from './access.ts'

const KiB = 1024
const MiB = 1024 * KiB

export interface Load extends Access {
  readonly connections: number
}

export interface Scenario {
  readonly name: string
  readonly says: string
  /** what of the file is in memory before a trial; a trial whose state cannot be proved says so */
  readonly cache: 'hot' | 'cold'
  readonly load: Load
  /** reads a second file, cold, meanwhile; its own latency is not what is asked for */
  readonly background?: Load
  readonly isQuick: boolean
}

export const scenarios: readonly Scenario[] = [
  {
    name: 'hot-4k',
    says: 'random 4 KiB ranges, all in memory',
    cache: 'hot',
    load: { pattern: 'uniform', rangeBytes: 4 * KiB, connections: 32 },
    isQuick: true
  },
  {
    name: 'hot-64k',
    says: 'random 64 KiB ranges, all in memory',
    cache: 'hot',
    load: { pattern: 'uniform', rangeBytes: 64 * KiB, connections: 32 },
    isQuick: true
  },
  {
    name: 'hot-1m',
    says: 'random 1 MiB ranges, all in memory',
    cache: 'hot',
    load: { pattern: 'uniform', rangeBytes: MiB, connections: 16 },
    isQuick: false
  },
  {
    name: 'zipf-16k',
    says: '16 KiB ranges of which few are asked for often, all in memory',
    cache: 'hot',
    load: { pattern: 'zipf', rangeBytes: 16 * KiB, connections: 64 },
    isQuick: false
  },
  {
    name: 'cold-64k',
    says: 'random 64 KiB ranges of a file that nobody has read',
    cache: 'cold',
    load: { pattern: 'uniform', rangeBytes: 64 * KiB, connections: 8 },
    isQuick: true
  },
  {
    name: 'scan',
    says: 'a file that nobody has read, from one end to the other in 1 MiB ranges',
    cache: 'cold',
    load: { pattern: 'sequential', rangeBytes: MiB, connections: 1 },
    isQuick: false
  },
  {
    name: 'stall',
    says: 'random 4 KiB ranges in memory, while eight others read what is not',
    cache: 'hot',
    load: { pattern: 'uniform', rangeBytes: 4 * KiB, connections: 4 },
    background: { pattern: 'uniform', rangeBytes: 256 * KiB, connections: 8 },
    isQuick: true
  }
]

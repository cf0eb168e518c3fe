/** One process's numbers for the live page, and the sum of several. Read only while somebody watches. */

import { readFileSync } from 'node:fs'
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import { threadFaults } from '../storage/native/rusage.ts'
import type { Storage } from '../storage/storage.ts'
import type { LatencyHistogram } from './latency.ts'
import type { Gauges, Reading, Totals } from './live-types.ts'
import type { SlowAnswers } from './slow.ts'

// of the histogram's timer, which is part of each delay that it measures
const resolutionMs = 10
// Nobody watches any more: the event loop's delay is no longer measured.
const unwatchedMs = 5000

export interface ReaderOptions {
  readonly storage: Storage
  readonly firstByte: LatencyHistogram
  readonly slow: SlowAnswers
  /** the pattern of the route under which files are served */
  readonly route: string
  readonly connections: () => number
}

export class Reader {
  readonly #options: ReaderOptions
  #delays: IntervalHistogram | undefined
  #unwatched: NodeJS.Timeout | undefined

  constructor(options: ReaderOptions) {
    this.#options = options
  }

  read(): Reading {
    return { totals: this.#totals(), gauges: this.#gauges(), eventLoopDelayMs: this.#delayMs() }
  }

  close(): void {
    clearTimeout(this.#unwatched)
    this.#delays?.disable()
    this.#delays = undefined
  }

  #totals(): Totals {
    const { storage, firstByte, slow, route } = this.#options
    const { bodyBytes, checks, shed, bodyFailures } = storage.counters
    const countsOf = (source: string) => firstByte.counts({ route, source })
    const buckets = { mapped: countsOf('mapped'), read: countsOf('read') }
    const { minorPageFault, majorPageFault, fsRead } = process.resourceUsage()
    return {
      answers: {
        mapped: sum(buckets.mapped),
        read: sum(buckets.read),
        mixed: sum(countsOf('mixed')),
        none: sum(countsOf('none'))
      },
      firstByte: buckets,
      bodyBytes: { ...bodyBytes },
      checks: { ...checks },
      processFaults: { minor: minorPageFault, major: majorPageFault },
      eventLoopFaults: threadFaults(),
      // ru_inblock counts in blocks of 512 bytes on Linux
      blockInputBytes: fsRead * 512,
      shed: sum(shed.values()),
      aborted: sum(bodyFailures.values()),
      slow: slow.count
    }
  }

  #gauges(): Gauges {
    const { storage, connections } = this.#options
    return {
      connections: connections(),
      ...ownMemory(),
      mappedBytes: storage.regions.mappedBytes,
      openFiles: storage.catalog.size,
      bufferedBytes: storage.buffers.usedBytes,
      waitingReads: storage.reads.waiting
    }
  }

  /** The longest since the last call. */
  #delayMs(): number {
    clearTimeout(this.#unwatched)
    this.#unwatched = setTimeout(() => this.close(), unwatchedMs).unref()
    if (this.#delays === undefined) {
      this.#delays = monitorEventLoopDelay({ resolution: resolutionMs })
      this.#delays.enable()
      return 0
    }
    const longestMs = this.#delays.max / 1e6 - resolutionMs
    this.#delays.reset()
    return Math.max(0, round(longestMs))
  }
}

/** @see proc_pid_status(5); RssFile and RssShmem are pages of files */
function ownMemory(): { memoryBytes: number; ownMemoryBytes: number } {
  const status = readFileSync('/proc/self/status', 'latin1')
  const field = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024
  return { memoryBytes: field('VmRSS'), ownMemoryBytes: field('RssAnon') }
}

/** Adds the numbers of objects and lists of the same shape. */
export function add<T>(a: T, b: T): T {
  if (typeof a === 'number') return ((a as number) + (b as number)) as T
  if (Array.isArray(a)) {
    return a.map((value, i) => add(value, (b as unknown[])[i])) as T
  }
  const entries = Object.entries(a as object).map(([key, value]) => [
    key,
    add(value, (b as Record<string, unknown>)[key])
  ])
  return Object.fromEntries(entries) as T
}

/** What one process said; undefined: it was too late. */
export interface ReadingOf {
  readonly process: number
  readonly answer: Reading | undefined
}

/**
 * The readings of several processes as one. The totals of a process that is gone are kept, and those of one that
 * does not answer in time are its last: no total goes backwards.
 */
export class ReadingSum {
  readonly #last = new Map<number, Totals>()
  #gone: Totals | undefined

  /** @returns undefined until a process has answered */
  of(readings: readonly ReadingOf[]): Reading | undefined {
    for (const { process, answer } of readings) {
      if (answer !== undefined) this.#last.set(process, answer.totals)
    }
    const living = new Set(readings.map(({ process }) => process))
    for (const [process, totals] of this.#last) {
      if (living.has(process)) continue
      this.#gone = this.#gone === undefined ? totals : add(this.#gone, totals)
      this.#last.delete(process)
    }
    const answers = readings.flatMap(({ answer }) => answer ?? [])
    const all = [...this.#last.values(), ...(this.#gone === undefined ? [] : [this.#gone])]
    const [first] = answers
    if (first === undefined || all.length === 0) return undefined
    return {
      totals: all.reduce((a, b) => add(a, b)),
      gauges: answers.map(({ gauges }) => gauges).reduce((a, b) => add(a, b)),
      eventLoopDelayMs: Math.max(...answers.map(({ eventLoopDelayMs }) => eventLoopDelayMs))
    }
  }
}

function sum(numbers: Iterable<number>): number {
  let total = 0
  for (const number of numbers) total += number
  return total
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

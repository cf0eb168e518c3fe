/**
 * Stalls of the event loop, with what was being written when they happened: without the names, a stall is
 * invisible in a log.
 */
import type { Logger } from 'pino'
import { threadFaults } from '../storage/native/rusage.ts'

// How often the delay is measured: often enough to see a tenth of a second, too rarely to cost anything.
const intervalMs = 25
const mostNames = 8

export class StallWatch {
  readonly #thresholdMs: number
  readonly #log: Logger
  readonly #writing = new Set<{ readonly what: string }>()
  readonly #recent: string[] = []
  #timer: NodeJS.Timeout | undefined
  #lastMs = 0
  #lastFaults = threadFaults()

  /** @param thresholdMs a longer silence of the event loop is logged; 0: never */
  constructor(thresholdMs: number, log: Logger) {
    this.#thresholdMs = thresholdMs
    this.#log = log
  }

  /** From now on: what happens before the first client can come is no stall. */
  start(): void {
    if (this.#thresholdMs === 0) return
    this.#lastMs = performance.now()
    this.#lastFaults = threadFaults()
    this.#timer = setInterval(() => this.#look(), intervalMs).unref()
  }

  /** An answer whose bytes wait in the socket or for the disk. @returns to be called when it is over */
  begin(what: string): () => void {
    const entry = { what }
    this.#writing.add(entry)
    return () => {
      this.#writing.delete(entry)
    }
  }

  /** A write to a socket that took long; called right after it. */
  slow(what: string, ms: number): void {
    if (this.#thresholdMs === 0 || ms < this.#thresholdMs) return
    if (this.#recent.length < mostNames) this.#recent.push(what)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #look(): void {
    const now = performance.now()
    const stalledMs = now - this.#lastMs - intervalMs
    const faults = threadFaults()
    if (stalledMs >= this.#thresholdMs) {
      const majorFaults = faults.major - this.#lastFaults.major
      const writing = [...this.#recent, ...[...this.#writing].map(({ what }) => what)].slice(
        0,
        mostNames
      )
      const details = { stalledMs: Math.round(stalledMs), majorFaults, writing }
      this.#log.warn(details, 'the event loop stalled')
    }
    this.#recent.length = 0
    this.#lastFaults = faults
    this.#lastMs = now
  }
}

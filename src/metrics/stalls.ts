/**
 * Stalls of the event loop, with what was being written when they happened: without the names, a stall is
 * invisible in a log.
 */
import type { Logger } from 'pino'
import { threadFaults } from '../storage/native/rusage.ts'

// How often the loop is asked for a sign of life: sharp enough for a tenth of a second, too rare to matter.
const intervalMs = 25
const mostNames = 8

export class StallWatch {
  readonly #thresholdMs: number
  readonly #log: Logger
  readonly #writing = new Set<{ readonly what: string }>()
  readonly #recent: string[] = []
  readonly #timer: NodeJS.Timeout | undefined
  #lastMs = performance.now()
  #lastFaults = threadFaults()

  /** @param thresholdMs a longer silence of the event loop is logged; 0: never */
  constructor(thresholdMs: number, log: Logger) {
    this.#thresholdMs = thresholdMs
    this.#log = log
    if (thresholdMs > 0) this.#timer = setInterval(() => this.#look(), intervalMs).unref()
  }

  /** An answer whose bytes wait in the socket or for the disk. @returns to be called when it is over */
  begin(what: string): () => void {
    const entry = { what }
    this.#writing.add(entry)
    return () => {
      this.#writing.delete(entry)
    }
  }

  /** A hand-over that took longer than it should, told as it happens. */
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
      const majorFaults = (faults?.major ?? 0) - (this.#lastFaults?.major ?? 0)
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

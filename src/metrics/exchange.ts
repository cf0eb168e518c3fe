/**
 * One request and its answer, as metrics, access log and Server-Timing tell of it: when, from where, at what
 * cost. Cheap enough to be made for every request; what costs more is measured only where somebody asked.
 */
import { threadFaults } from '../storage/native/rusage.ts'

export type Source = 'mapped' | 'read' | 'mixed' | 'none'

export class Exchange {
  readonly startedAtMs = performance.now()
  /** when the first byte had been handed to the kernel; undefined before */
  firstByteAtMs: number | undefined
  /** how long the file took to be found, opened or asked about */
  openedAfterMs: number | undefined
  /** its end was told of */
  isConcluded = false
  /** bytes of files handed to the kernel, by where they came from */
  mappedBytes = 0
  readBytes = 0
  /** windows that could be had at once, and windows that had to be read */
  residentWindows = 0
  coldWindows = 0
  /** page faults of the event loop while it worked on this answer; counted only with `measureFaults` */
  minorFaults = 0
  majorFaults = 0

  get source(): Source {
    if (this.mappedBytes > 0) return this.readBytes > 0 ? 'mixed' : 'mapped'
    return this.readBytes > 0 ? 'read' : 'none'
  }

  sent(source: 'mapped' | 'read', bytes: number): void {
    if (source === 'mapped') this.mappedBytes += bytes
    else this.readBytes += bytes
  }

  /** Run what may fault and charge its faults to this answer. */
  measureFaults<T>(work: () => T): T {
    const before = threadFaults()
    try {
      return work()
    } finally {
      const after = threadFaults()
      if (before !== undefined && after !== undefined) {
        this.minorFaults += after.minor - before.minor
        this.majorFaults += after.major - before.major
      }
    }
  }
}

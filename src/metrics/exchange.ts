/**
 * One request and its answer, as metrics, access log and Server-Timing show it: when, from where, at what
 * cost. Cheap enough to be made for every request; what costs more is measured only where it is wanted.
 */
import { type EventLoopUtilization, performance } from 'node:perf_hooks'
import type { ByteRange } from '../http/byte-range.ts'
import { threadFaults } from '../storage/native/rusage.ts'
import type { Waits } from './live-types.ts'

export type Source = 'mapped' | 'read' | 'mixed' | 'none'

export interface Client {
  readonly address: string | undefined
  readonly userAgent: string | undefined
  readonly referer: string | undefined
}

export class Exchange {
  readonly method: string
  /** as the client sent it */
  readonly target: string
  readonly range: string | undefined
  /** what the client calls the request (X-Request-Id), if that may be repeated; its answer carries it */
  requestId: string | undefined
  /** who asks; known only where the log tells */
  client: Client | undefined
  /** the pattern of the route, never the path: what clients send must not make labels */
  route: string
  /** of the answer; 0 before it is known */
  status = 0
  readonly startedAtMs = performance.now()
  /** when the first byte had been handed to the kernel; undefined before */
  firstByteAtMs: number | undefined
  /** how long the file took to be found, opened or asked about */
  openedAfterMs: number | undefined
  /** whether `Observer.conclude` has been called for it */
  isConcluded = false
  /** bytes of files handed to the kernel, by where they came from */
  mappedBytes = 0
  readBytes = 0
  /** windows that could be had at once, and windows that had to be read */
  residentWindows = 0
  coldWindows = 0
  /** which file the answer is about, and the ranges and texts of its body; undefined while that is not known */
  file: { readonly path: string; readonly size: number } | undefined
  parts: readonly (string | ByteRange)[] = noParts
  /** what it has waited for so far, in milliseconds; undefined: nothing */
  waits: Omit<Waits, 'busy'> | undefined
  /** what the event loop had done when the answer began to wait */
  #loop: EventLoopUtilization | undefined
  /** page faults of the event loop while it worked on this answer; counted only with `measureFaults` */
  minorFaults = 0
  majorFaults = 0

  constructor(method: string, target: string, range: string | undefined, route: string) {
    this.method = method
    this.target = target
    this.range = range
    this.route = route
  }

  get source(): Source {
    if (this.mappedBytes > 0) return this.readBytes > 0 ? 'mixed' : 'mapped'
    return this.readBytes > 0 ? 'read' : 'none'
  }

  /** Which file it is about. @param parts of the body */
  selected(
    file: { readonly path: string; readonly size: number },
    parts: readonly (string | ByteRange)[]
  ): void {
    this.file = file
    this.parts = parts
  }

  /** From now on it has to wait for something: what for is counted by `waited`. */
  slowsDown(): void {
    this.#loop ??= performance.eventLoopUtilization()
  }

  waited(what: keyof Omit<Waits, 'busy'>, ms: number): void {
    this.waits ??= { open: 0, change: 0, thread: 0, memory: 0, disk: 0, client: 0, send: 0 }
    this.waits[what] += ms
  }

  /**
   * How long the event loop has worked, for this answer and for everything else, since it had to wait. An answer that
   * never waited was given in one turn, which was all work.
   */
  busyMs(): number {
    if (this.#loop === undefined) return performance.now() - this.startedAtMs
    return performance.eventLoopUtilization(this.#loop).active
  }

  sent(source: 'mapped' | 'read', bytes: number): void {
    if (source === 'mapped') this.mappedBytes += bytes
    else this.readBytes += bytes
  }

  opened(): void {
    this.openedAfterMs = performance.now() - this.startedAtMs
  }

  /** Run what may fault and charge its faults to this answer. */
  measureFaults<T>(work: () => T): T {
    const before = threadFaults()
    try {
      return work()
    } finally {
      const after = threadFaults()
      this.minorFaults += after.minor - before.minor
      this.majorFaults += after.major - before.major
    }
  }
}

const noParts: readonly (string | ByteRange)[] = []

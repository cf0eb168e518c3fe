/**
 * What the live page and the ops port say to each other, as JSON. Types alone and without imports, so that the page,
 * which is built for browsers, has the very same ones.
 */

export interface Faults {
  minor: number
  major: number
}

/** What a process has counted since it began. */
export interface Totals {
  /** answers about files, by where their bytes came from */
  answers: { mapped: number; read: number; mixed: number; none: number }
  /** the same answers by their time to first byte: so many in each bucket of `firstByteBounds`, and beyond the last */
  firstByte: { mapped: number[]; read: number[] }
  /** bytes of files that the kernel took */
  bodyBytes: { mapped: number; read: number }
  /** windows, by what the kernel said of them before they were sent */
  checks: { resident: number; cold: number; unknown: number }
  processFaults: Faults
  eventLoopFaults: Faults
  blockInputBytes: number
  /** requests refused with 503 because a limit was reached */
  shed: number
  /** answers cut before their Content-Length was reached */
  aborted: number
  /** answers that `/slow` tells of, or has told of */
  slow: number
}

/** What a process has now; of several processes the sum is taken. */
export interface Gauges {
  connections: number
  /** resident memory, with the pages of files that it has mapped and touched */
  memoryBytes: number
  /** of it what is no page of a file */
  ownMemoryBytes: number
  mappedBytes: number
  openFiles: number
  bufferedBytes: number
  waitingReads: number
}

export interface Reading {
  totals: Totals
  gauges: Gauges
  /** the longest that the event loop was late since the last reading, in milliseconds; of several the longest */
  eventLoopDelayMs: number
}

/** What runs; it stays the same as long as the service runs. */
export interface About {
  version: string
  node: string
  mode: string
  guard: string
  workers: number
  root: string
  prefix: string
  pageSize: number
  windowBytes: number
  /** milliseconds since the epoch */
  startedAt: number
  /** upper bounds of the buckets of `firstByte`, in seconds */
  firstByteBounds: readonly number[]
}

/** Memory that the processes and their page cache may take together; undefined where no cgroup tells. */
export interface CgroupMemory {
  usedBytes: number
  /** of it what is pages of files */
  fileBytes: number
  /** null: no limit but that of the machine */
  limitBytes: number | null
}

/** One object of `/events`. */
export interface LiveEvent extends Reading {
  /** milliseconds since the epoch */
  at: number
  about: About
  /** why the service should get no traffic now; null: it is ready */
  notReady: string | null
  /** processes that answered */
  processes: number
  cgroup: CgroupMemory | null
}

/** A range that was asked for: first byte, last byte, milliseconds ago. */
export type RecentRange = [first: number, last: number, agoMs: number]

/** What was asked of one file in the last minutes. */
export interface FileActivity {
  path: string
  isOpen: boolean
  requests: number
  bytes: number
  recent: RecentRange[]
  /** how often each of equal pieces of the file was asked for */
  heat: number[]
}

/** One object of `/files`. */
export interface FileRow extends Omit<FileActivity, 'heat'> {
  size: number
  /** whether the kernel's answer about residency may be believed; null: it was not asked yet */
  trusted: boolean | null
  residentBytes: number | null
  /** resident share of each of equal pieces, 0 to 1 */
  cells: readonly number[]
  /** how old the answer about residency is */
  residencyAgeMs: number | null
}

/** Milliseconds that one answer has waited, by what it waited for. */
export interface Waits {
  open: number
  change: number
  thread: number
  memory: number
  disk: number
  client: number
  /** in single writes from a mapping, each longer than a millisecond */
  send: number
  /** that the event loop worked while the answer was in progress, on whatever it was */
  busy: number
}

/** One object of `/slow`. */
export interface SlowAnswer {
  /** when it ended; milliseconds since the epoch */
  at: number
  path: string
  size: number
  status: number
  source: 'mapped' | 'read' | 'mixed' | 'none'
  /** the ranges that were asked for, first and last byte; of many the first few */
  ranges: (readonly [first: number, last: number])[]
  bytes: number
  ms: number
  firstByteMs: number
  residentWindows: number
  coldWindows: number
  outcome: string
  waits: Waits
  /** in words */
  reason: string
}

export interface Evicted {
  path: string
  /** bytes that left memory; null where the kernel cannot be believed */
  evictedBytes: number | null
  /** bytes that are still there */
  residentBytes: number | null
  /** of those, what has to be written to the disk first */
  dirtyBytes: number | null
  milliseconds: number
  /** in words, why something stayed; null: nothing did */
  stays: string | null
}

/** What a request of `/try` got. */
export interface Tried {
  status: number
  statusText: string
  headers: (readonly [name: string, value: string])[]
  /** bytes of the body that came */
  length: number
  /** its beginning, as base64 */
  head: string
  /** as a client on this machine saw it */
  firstByteMs: number
  ms: number
}

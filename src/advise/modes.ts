/** What is compared: a mode, and a server of it. */
import type { MemoryLimit } from './memory-limit.ts'

/** The service in one of its modes, a peer, or (with a URL) a server that runs already. */
export interface Mode {
  readonly name: string
  readonly says: string
  /** arguments of the service; undefined: it is not the service */
  readonly args?: readonly string[]
  /** of a server that runs already */
  readonly url?: string
}

/** How a server is started for a trial. */
export interface Start {
  readonly root: string
  readonly workers: number | undefined
  /** undefined: on the servers' CPU, if it is one process */
  readonly isPinned?: boolean
  readonly limit: MemoryLimit | undefined
}

/** One that is up. */
export interface Server {
  /** of the file that is measured and, as its base, of those beside it; ends with a slash */
  readonly filesUrl: string
  /** of the service's metrics; undefined: it has none */
  readonly metricsUrl: string | undefined
  /** undefined: it was not started here */
  readonly pid: number | undefined
  /** the signal by which it died; undefined: it lives, or ended by itself */
  signal(): NodeJS.Signals | undefined
  stop(): Promise<void>
}

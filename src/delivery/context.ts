/** What every delivery of a service shares. */
import type { Exchange } from '../metrics/exchange.ts'
import type { StallWatch } from '../metrics/stalls.ts'
import type { ByteSource, Window } from '../storage/byte-source.ts'
import type { Turns } from './turns.ts'

export interface DeliveryContext {
  /** as the mode wants it */
  readonly source: ByteSource
  /** without mappings, for sinks that only take copies */
  readonly copies: ByteSource
  /** most bytes handed to the kernel between two looks at the file */
  readonly windowBytes: number
  readonly stalls: StallWatch
  readonly turns: Turns
  /** page faults are measured only where they are told: it costs two calls for each window */
  readonly measuresFaults: boolean
  /** whether answers carry Server-Timing */
  readonly sendsTiming: boolean
  /** Whether so much of the budget for copied windows is in use that slow clients must give theirs back. */
  isShortOfBuffers(): boolean
  /** Bytes of a file were taken by the kernel. */
  count(exchange: Exchange, source: Window['source'], bytes: number): void
}

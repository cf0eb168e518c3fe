/** A delivery put together: for the service, and for an app that has the plugin. */
import type { Observer } from '../metrics/observer.ts'
import type { StallWatch } from '../metrics/stalls.ts'
import type { Storage } from '../storage/storage.ts'
import type { FileRequest } from './answer.ts'
import type { DeliveryContext } from './context.ts'
import { Delivery, type DeliveryOptions } from './deliver.ts'
import { createSelector } from './headers.ts'
import { Turns } from './turns.ts'

// What long answers may copy to sockets in one turn of the event loop: some milliseconds.
const bytesPerTurn = 8 * 2 ** 20

export interface CreateDeliveryOptions {
  readonly storage: Storage
  readonly observer: Observer
  readonly stalls: StallWatch
  readonly log: DeliveryOptions['log']
  readonly windowBytes: number
  readonly maxRanges: number
  readonly maxBufferedBytes: number
  /** whether answers carry Server-Timing */
  readonly sendsTiming: boolean
  /** see `DeliveryOptions` */
  readonly isTraced?: DeliveryOptions['isTraced']
  /** name, value, …: those that every file has in common */
  readonly commonFields: readonly string[]
}

export function createDelivery(options: CreateDeliveryOptions): Delivery {
  const { storage, observer, stalls, log, windowBytes, maxRanges, sendsTiming } = options
  const { source, copies, counters, buffers } = storage
  const context: DeliveryContext = {
    source,
    copies,
    windowBytes,
    stalls,
    turns: new Turns(windowBytes, bytesPerTurn),
    sendsTiming,
    measuresFaults: observer.logsFaults || sendsTiming,
    isShortOfBuffers: () => buffers.usedBytes > options.maxBufferedBytes / 2,
    count: (exchange, source, bytes) => {
      exchange.sent(source, bytes)
      counters.bodyBytes[source] += bytes
    }
  }
  const select = createSelector(options.commonFields)
  const conclude = ({ exchange }: FileRequest, outcome: string) =>
    observer.conclude(exchange, outcome)
  const { isTraced } = options
  return new Delivery({
    storage,
    context,
    select,
    log,
    maxRanges,
    conclude,
    ...(isTraced === undefined ? {} : { isTraced })
  })
}

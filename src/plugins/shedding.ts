/** Overload is refused early, with 503 and Retry-After: a queue that only grows is a stall as well. */
import type { Socket } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { FastifyInstance } from 'fastify'
import type { Config } from '../config/options.ts'
import type { Observer } from '../metrics/observer.ts'
import type { Counters } from '../storage/counters.ts'
import { ConnectionLimit } from './connection-limit.ts'
import { refuseOverload } from './errors.ts'
import { follow } from './follow.ts'

// how often the event loop's mean delay is looked at
const sampleIntervalMs = 500
// of the histogram's timer, which is part of each delay that it measures
const resolutionMs = 10

/**
 * For the routes of a context: requests on connections beyond the limit, and all requests while the event loop
 * is late, are refused. What waits for storage is limited there.
 * @returns whether a request on a socket would be refused now
 */
export function registerShedding(
  context: FastifyInstance,
  { maxConnections, maxEventLoopDelayMs }: Config,
  { observer, counters }: { readonly observer: Observer; readonly counters: Counters }
): (socket: Socket) => boolean {
  const limit = new ConnectionLimit(context.server, maxConnections)
  const isLate = watchEventLoop(context, maxEventLoopDelayMs)
  context.addHook('onRequest', (request, reply, done) => {
    const isExcess = limit.isExcess(request.raw.socket)
    if (!isExcess && !isLate()) return done()
    follow(observer, request, reply)
    if (isExcess) reply.header('connection', 'close')
    const reason = isExcess ? 'connections' : 'event_loop'
    return void refuseOverload(reason, counters, reply)
  })
  return (socket) => limit.isExcess(socket) || isLate()
}

/**
 * Not @fastify/under-pressure: it asks for the memory of the process as well, which fails without a free file
 * descriptor, in a timer where nobody can catch it.
 * @param maxDelayMs mean of the last interval; 0: never late
 * @returns whether the event loop is late
 */
function watchEventLoop(context: FastifyInstance, maxDelayMs: number): () => boolean {
  if (maxDelayMs === 0) return () => false
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs })
  histogram.enable()
  let isLate = false
  const timer = setInterval(() => {
    // without a single sample (NaN) the loop has not turned for the whole interval
    isLate = !(histogram.mean / 1e6 - resolutionMs <= maxDelayMs)
    histogram.reset()
  }, sampleIntervalMs).unref()
  context.addHook('onClose', () => {
    clearInterval(timer)
    histogram.disable()
  })
  return () => isLate
}

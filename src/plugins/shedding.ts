/** Overload is refused early, with 503 and Retry-After: a queue that only grows is a stall as well. */
import type { Socket } from 'node:net'
import underPressure from '@fastify/under-pressure'
import type { FastifyInstance } from 'fastify'
import type { Config } from '../config/options.ts'
import type { Observer } from '../metrics/observer.ts'
import { StorageError } from '../storage/errors.ts'

// how often the event loop's mean delay is looked at
const sampleIntervalMs = 500

/**
 * For the routes of a context: requests on connections beyond the limit, and all requests while the event loop
 * is late, are refused. What waits for storage is limited there.
 */
export function registerShedding(
  context: FastifyInstance,
  { maxConnections, maxEventLoopDelayMs }: Config,
  observer: Observer
): void {
  const { server } = context
  const excess = new WeakSet<Socket>()
  let connections = 0
  server.on('connection', (socket) => {
    connections++
    socket.once('close', () => connections--)
    if (connections > maxConnections) excess.add(socket)
  })
  // Beyond these there is no descriptor left to be polite: they are reset.
  server.maxConnections = Math.ceil(maxConnections * 1.5)

  context.addHook('onRequest', (request, reply, done) => {
    if (connections <= maxConnections || !excess.has(request.raw.socket)) return done()
    observer.follow(request, reply)
    reply.header('connection', 'close')
    done(new StorageError('OVERLOADED', '', { reason: 'connections' }))
  })
  if (maxEventLoopDelayMs === 0) return
  void context.register(underPressure, {
    maxEventLoopDelay: maxEventLoopDelayMs,
    sampleInterval: sampleIntervalMs,
    pressureHandler: async (request, reply) => {
      observer.follow(request, reply)
      throw new StorageError('OVERLOADED', '', { reason: 'event_loop' })
    }
  })
}

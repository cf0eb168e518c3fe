/** Metrics, log and request id of an answer that is sent by Fastify's reply. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Exchange } from '../metrics/exchange.ts'
import type { Observer } from '../metrics/observer.ts'

/** At its end, or when its connection closes. An exchange that was concluded by then is left alone. */
export function follow(
  observer: Observer,
  request: FastifyRequest,
  reply: FastifyReply,
  exchange = exchangeOf(observer, request, request.routeOptions.url ?? 'none')
): void {
  if (exchange.requestId !== undefined) reply.header('x-request-id', exchange.requestId)
  reply.raw.once('close', () => {
    if (exchange.isConcluded) return
    exchange.status = reply.raw.statusCode
    observer.conclude(exchange)
  })
}

/** Follows the answers of all routes of a context that are registered later. */
export function followAll(context: FastifyInstance, observer: Observer): void {
  context.addHook('onRequest', (request, reply, done) => {
    follow(observer, request, reply)
    done()
  })
}

/** @param route the pattern of the route */
export function exchangeOf(observer: Observer, { raw }: FastifyRequest, route: string): Exchange {
  const { method = '', url = '', headers, socket } = raw
  const exchange = new Exchange(method, url, headers.range, route)
  observer.meet(exchange, headers, socket.remoteAddress)
  return exchange
}

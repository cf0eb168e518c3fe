/** Every error becomes an answer here: in the shape of @fastify/sensible, with our own words and no path of the machine. */
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify'
import type { Logger } from 'pino'
import { overload, type Refusal, refusalFor } from '../delivery/failure.ts'
import type { Observer } from '../metrics/observer.ts'
import { type Counters, countReason } from '../storage/counters.ts'
import { StorageError } from '../storage/errors.ts'
import { follow } from './follow.ts'

export interface ErrorsOptions {
  readonly log: Logger
  readonly observer: Observer
  readonly counters: Counters
}

/** Not implemented, unavailable, another version of HTTP. */
const onPurpose: ReadonlySet<number> = new Set([501, 503, 505])

export function registerErrors(
  app: FastifyInstance,
  { log, observer, counters }: ErrorsOptions
): void {
  app.setNotFoundHandler((request, reply) => {
    follow(observer, request, reply)
    return reply.notFound()
  })
  app.setErrorHandler((error: FastifyError, _request, reply) => {
    if (error instanceof StorageError) return refuse(refusalFor(error, { log, counters }), reply)
    const status = error.statusCode ?? 500
    // every other 5xx is a defect
    if (status < 500 || onPurpose.has(status)) return reply.send(error)
    log.error({ err: error }, 'request failed')
    return reply.internalServerError()
  })
}

/** 503, because a limit was reached. @param reason a label of the counter */
export function refuseOverload(
  reason: string,
  { shed }: Counters,
  reply: FastifyReply
): FastifyReply {
  countReason(shed, reason)
  return refuse(overload, reply)
}

function refuse({ status, message, retryAfter }: Refusal, reply: FastifyReply): FastifyReply {
  if (retryAfter !== undefined) reply.header('retry-after', retryAfter)
  switch (status) {
    case 404:
      return reply.notFound(message)
    case 500:
      return reply.internalServerError(message)
    case 503:
      return reply.serviceUnavailable(message)
  }
}

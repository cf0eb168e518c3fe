/** Every error becomes an answer here: the shape of @fastify/sensible, our words, no path of the machine. */
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify'
import type { Logger } from 'pino'
import type { Observer } from '../metrics/observer.ts'
import { type Counters, countReason } from '../storage/counters.ts'
import { StorageError } from '../storage/errors.ts'

export interface ErrorsOptions {
  readonly log: Logger
  readonly observer: Observer
  readonly counters: Counters
}

export function registerErrors(
  app: FastifyInstance,
  { log, observer, counters }: ErrorsOptions
): void {
  app.setNotFoundHandler((request, reply) => {
    observer.follow(request, reply)
    return reply.notFound()
  })
  app.setErrorHandler((error: FastifyError, _request, reply) => {
    if (error instanceof StorageError && error.code === 'OVERLOADED') {
      // no line in the log: there would be one for each, at the worst of moments
      countReason(counters.shed, error.reason)
      return reply.header('retry-after', 1).serviceUnavailable('the server has too much to do')
    }
    if (error instanceof StorageError) return answerStorage(error, log, reply)
    const status = error.statusCode ?? 500
    // 503 is what we say on purpose; what else is 5xx here nobody meant
    if (status < 500 || status === 503) return reply.send(error)
    log.error({ err: error }, 'request failed')
    return reply.internalServerError()
  })
}

function answerStorage(error: StorageError, log: Logger, reply: FastifyReply): FastifyReply {
  const { code, path, offset, reason } = error
  const details = { code, path, reason, ...(offset === undefined ? {} : { offset }) }
  switch (code) {
    case 'NOT_FOUND':
      log.debug(details, 'not found')
      return reply.notFound()
    case 'EXHAUSTED':
      log.error(details, 'out of file descriptors or memory: raise the limit of the process')
      return reply.header('retry-after', 1).serviceUnavailable('the server is at its limits')
    case 'CHANGED':
    case 'SHORT_READ':
      log.warn(details, 'the file changes faster than it can be read')
      return reply.header('retry-after', 1).serviceUnavailable('the file is being changed')
    default:
      log.error(details, 'the file could not be read')
      return reply.internalServerError('the file could not be read')
  }
}

/** Answers about files as the service gives them: with its own cross-origin access and its own errors. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errorFields } from '../delivery/headers.ts'
import type { CorsFields } from '../plugins/cors.ts'
import { StorageError } from '../storage/errors.ts'
import type { FilesHost } from './file-answers.ts'
import type { Listing } from './listing.ts'

/**
 * Errors are thrown on to the service's error handler, in plugins/errors.ts.
 * @param listing answers for folders; undefined: they are not found
 */
export function serviceHost(cors: CorsFields, listing: Listing | undefined): FilesHost {
  return {
    // member by member: a spread costs a fiftieth of a small hot request
    requestOf: ({ exchange, sink, method, fields }, request) => ({
      exchange,
      sink,
      method,
      fields,
      extraFields: cors.of(request.headers.origin)
    }),
    refuse: (answer, reply) => {
      addCorsFields(reply.request, reply)
      addFields(reply, errorFields(answer))
      return answer.plan.status === 412 ? reply.preconditionFailed() : reply.rangeNotSatisfiable()
    },
    fail: async (error, request, reply, _asked, path) => {
      addCorsFields(request, reply)
      const isMissing = error instanceof StorageError && error.code === 'NOT_FOUND'
      const listed = isMissing ? await listing?.answer(request, reply, path) : undefined
      if (listed === undefined) throw error
      return listed
    }
  }

  function addCorsFields(request: FastifyRequest, reply: FastifyReply): void {
    addFields(reply, cors.always)
    addFields(reply, cors.of(request.headers.origin))
  }
}

/** What is not listed, in the shape of other errors. */
export function refuseListing(
  reply: FastifyReply,
  status: 403 | 412,
  message: string
): FastifyReply {
  return status === 403 ? reply.forbidden(message) : reply.preconditionFailed(message)
}

/** @param fields name, value, name, value … */
export function addFields(reply: FastifyReply, fields: readonly string[]): void {
  for (let i = 0; i + 1 < fields.length; i += 2) reply.header(fields[i] as string, fields[i + 1])
}

/**
 * The onSend hooks of an app, run for an answer that Fastify does not send. Fastify has no public way to do that: what
 * it knows of a route is a member of the request, found here by its description, which all versions 5 share.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'

type Done = (error?: unknown, payload?: unknown) => void
type OnSend = (
  request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
  done: Done
) => unknown

interface RouteContext {
  readonly onSend: readonly OnSend[] | null
}

let contextKey: symbol | undefined

/** @returns whether a route has any */
export function hasOnSend(request: FastifyRequest): boolean {
  return hooksOf(request).length > 0
}

/**
 * Run them with the payload null, one after the other, as Fastify does.
 * @throws what a hook throws; TypeError when one of them gives another payload
 */
export async function runOnSend(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  for (const hook of hooksOf(request)) {
    const payload = await run(hook, request, reply)
    if (payload !== undefined && payload !== null) {
      throw new TypeError('an onSend hook may not replace the bytes of a file')
    }
  }
}

function hooksOf(request: FastifyRequest): readonly OnSend[] {
  contextKey ??= Object.getOwnPropertySymbols(request).find(
    ({ description }) => description === 'fastify.context'
  )
  const context = contextKey && (request as unknown as Record<symbol, RouteContext>)[contextKey]
  if (context?.onSend === undefined) {
    throw new Error('this version of Fastify does not tell which onSend hooks a route has')
  }
  return context.onSend ?? []
}

/** A hook calls `done`, or returns a promise. */
function run(hook: OnSend, request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const done: Done = (error, payload) => (error ? reject(error) : resolve(payload))
    const result = hook(request, reply, null, done)
    const isPromise = typeof (result as PromiseLike<unknown> | undefined)?.then === 'function'
    if (isPromise) resolve(result)
  })
}

/** GET, HEAD and OPTIONS of files: from Fastify's request to a delivery, and from its refusals to Fastify's reply. */
import { METHODS } from 'node:http'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteHandlerMethod } from 'fastify'
import type { Answer, FileRequest } from '../delivery/answer.ts'
import type { Delivery, Waiting } from '../delivery/deliver.ts'
import { errorFields } from '../delivery/headers.ts'
import { decodeRequestPath } from '../http/request-path.ts'
import { pathBehind } from '../http/request-target.ts'
import type { Exchange } from '../metrics/exchange.ts'
import type { Observer } from '../metrics/observer.ts'
import type { CorsFields } from '../plugins/cors.ts'
import { exchangeOf, follow } from '../plugins/follow.ts'
import type { Catalog } from '../storage/catalog.ts'
import { StorageError } from '../storage/errors.ts'
import type { Listing } from './listing.ts'
import { sinkFor, turnOf } from './response-sink.ts'

const allowedMethods = 'GET, HEAD, OPTIONS'

export interface FilesOptions {
  readonly prefix: string
  readonly dotfiles: 'allow' | 'deny'
  readonly catalog: Catalog
  readonly delivery: Delivery
  readonly observer: Observer
  readonly cors: CorsFields
  /** answers for folders; undefined: they are not found */
  readonly listing?: Listing | undefined
}

/** Of OPTIONS: what may be asked; the answer to a preflight is on the reply already. */
export function optionsHandler(observer: Observer): RouteHandlerMethod {
  return (request, reply) => {
    follow(observer, request, reply)
    return reply.code(204).header('allow', allowedMethods).send()
  }
}

export function registerFiles(app: FastifyInstance, options: FilesOptions): void {
  const { prefix, catalog, delivery, observer, cors, listing } = options
  const url = `${prefix}*`
  // the plugin's hook has nothing to add
  const ownsCors = { config: { cors: false } } as const
  app.get(url, { exposeHeadRoute: false, ...ownsCors }, handle)
  app.head(url, ownsCors, handle)
  if (!app.hasRoute({ method: 'OPTIONS', url })) app.options(url, optionsHandler(observer))
  for (const method of METHODS) {
    if (!app.supportedMethods.includes(method)) app.addHttpMethod(method)
  }
  app.route({
    method: app.supportedMethods.filter((method) => !allowedMethods.includes(method)),
    url,
    // before a body is parsed, which would not be used
    onRequest: (request, reply, _done) => {
      follow(observer, request, reply)
      reply.header('allow', allowedMethods).methodNotAllowed()
    },
    handler: () => {}
  })

  /** From parsed request to the socket without an await, if the file is known and its bytes are resident. */
  function handle(request: FastifyRequest, reply: FastifyReply): Promise<unknown> | undefined {
    const exchange = exchangeOf(request, url)
    const path = pathOf(request)
    const turn = turnOf(reply.raw)
    if (turn === undefined && path !== undefined) {
      const file = catalog.known(path)
      const fileRequest = file && fileRequestOf(exchange, request, reply)
      const delivered = fileRequest && delivery.tryNow(fileRequest, file)
      if (delivered === 'done') return undefined
      if (delivered === 'cold' || delivered === 'long') {
        return handleSlowly(exchange, request, reply, path, { tried: delivered })
      }
      if (delivered !== undefined) {
        follow(observer, request, reply, exchange)
        addCorsFields(request, reply)
        return Promise.resolve(refuse(delivered, reply))
      }
    }
    return handleSlowly(exchange, request, reply, path, { turn })
  }

  async function handleSlowly(
    exchange: Exchange,
    request: FastifyRequest,
    reply: FastifyReply,
    path: string | undefined,
    { turn, tried }: { turn?: Promise<boolean> | undefined; tried?: Waiting }
  ): Promise<unknown> {
    follow(observer, request, reply, exchange)
    if (turn !== undefined && !(await turn)) return reply.hijack()
    // errors are answered by way of the reply
    addCorsFields(request, reply)
    try {
      if (path === undefined) throw new StorageError('NOT_FOUND', '', { reason: 'path refused' })
      const fileRequest = fileRequestOf(exchange, request, reply)
      const delivered = await delivery.deliver(fileRequest, path, tried)
      if (delivered !== 'done') return refuse(delivered, reply)
    } catch (error) {
      const isMissing = error instanceof StorageError && error.code === 'NOT_FOUND'
      const listed = isMissing ? await listing?.answer(request, reply, path) : undefined
      if (listed === undefined) throw error
      return listed
    }
    // a client that went before the first byte: there is nothing to answer
    if (!reply.sent) reply.hijack()
    return reply
  }

  function pathOf(request: FastifyRequest): string | undefined {
    // the raw target: decoded once, and by our own rules
    const encoded = pathBehind(prefix, request.raw.url ?? '')
    return encoded === undefined ? undefined : decodeRequestPath(encoded, options)
  }

  function fileRequestOf(
    exchange: Exchange,
    request: FastifyRequest,
    reply: FastifyReply
  ): FileRequest {
    return {
      exchange,
      sink: sinkFor(reply.raw, () => void reply.hijack()),
      method: request.method === 'HEAD' ? 'HEAD' : 'GET',
      fields: request.headers,
      extraFields: cors.of(request.headers.origin)
    }
  }

  /** 412 and 416: as errors of the application look. */
  function refuse(answer: Answer, reply: FastifyReply): FastifyReply {
    addFields(reply, errorFields(answer))
    return answer.plan.status === 412 ? reply.preconditionFailed() : reply.rangeNotSatisfiable()
  }

  function addCorsFields(request: FastifyRequest, reply: FastifyReply): void {
    addFields(reply, cors.always)
    addFields(reply, cors.of(request.headers.origin))
  }
}

function addFields(reply: FastifyReply, fields: readonly string[]): void {
  for (let i = 0; i + 1 < fields.length; i += 2) reply.header(fields[i] as string, fields[i + 1])
}

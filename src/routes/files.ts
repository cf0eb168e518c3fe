/** GET, HEAD and OPTIONS of files: from a request to an open file, a plan, and the way its body is sent. */
import { METHODS } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteHandlerMethod } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from '../config/options.ts'
import { type Answer, Responder } from '../delivery/responder.ts'
import { createSelector } from '../delivery/selected.ts'
import { planResponse, type ResponsePlan } from '../http/plan.ts'
import { decodeRequestPath } from '../http/request-path.ts'
import { Exchange } from '../metrics/exchange.ts'
import type { Observer } from '../metrics/observer.ts'
import type { StallWatch } from '../metrics/stalls.ts'
import { settleMs } from '../storage/catalog.ts'
import { StorageError } from '../storage/errors.ts'
import type { OpenFile } from '../storage/open-file.ts'
import type { Storage } from '../storage/storage.ts'

const allowedMethods = 'GET, HEAD, OPTIONS'

export interface FilesOptions {
  readonly config: Config
  readonly storage: Storage
  readonly log: Logger
  readonly observer: Observer
  readonly stalls: StallWatch
  /** the same for every request; undefined when a hook puts them on each reply */
  readonly corsHeaders: Readonly<Record<string, string>> | undefined
}

/** Of OPTIONS: what may be asked; the answer to a preflight is on the reply already. */
export function optionsHandler(observer: Observer): RouteHandlerMethod {
  return (request, reply) => {
    observer.follow(request, reply)
    return reply.code(204).header('allow', allowedMethods).send()
  }
}

export function registerFiles(app: FastifyInstance, options: FilesOptions): void {
  const { config, corsHeaders, observer } = options
  const { catalog } = options.storage
  const select = createSelector({
    'cache-control': config.cacheControl,
    'x-content-type-options': 'nosniff',
    ...corsHeaders
  })
  const url = `${config.prefix}*`
  const responder = new Responder({ ...options, route: url })

  const ownsCors = { config: { cors: corsHeaders === undefined } }
  app.get(url, { exposeHeadRoute: false, ...ownsCors }, handle)
  app.head(url, ownsCors, handle)
  if (!app.hasRoute({ method: 'OPTIONS', url })) app.options(url, optionsHandler(observer))
  for (const method of METHODS) {
    if (!app.supportedMethods.includes(method)) app.addHttpMethod(method)
  }
  app.route({
    method: app.supportedMethods.filter((method) => !allowedMethods.includes(method)),
    url,
    // before a body is parsed, which nobody would read
    onRequest: (request, reply, _done) => {
      observer.follow(request, reply)
      reply.header('allow', allowedMethods).methodNotAllowed()
    },
    handler: () => {}
  })

  /** From parsed request to the socket without an await, if the file is known and its bytes are resident. */
  function handle(request: FastifyRequest, reply: FastifyReply): Promise<unknown> | undefined {
    const exchange = new Exchange()
    const path = pathOf(request)
    const file = path === undefined ? undefined : catalog.known(path)
    if (file !== undefined) {
      const answer = answerWith(file, exchange, request, reply)
      if (responder.sendAtOnce(answer)) return undefined
      file.tryRetain()
      return handleSlowly(exchange, request, reply, file.path, answer)
    }
    return handleSlowly(exchange, request, reply, path, undefined)
  }

  /** @param known the answer with a file that is open and retained already */
  async function handleSlowly(
    exchange: Exchange,
    request: FastifyRequest,
    reply: FastifyReply,
    path: string | undefined,
    known: Answer | undefined
  ): Promise<unknown> {
    // errors are answered by way of the reply
    if (corsHeaders !== undefined) reply.headers(corsHeaders)
    observer.follow(request, reply, exchange)
    if (path === undefined) throw new StorageError('NOT_FOUND', '', { reason: 'path refused' })
    for (let attempt = 1; ; attempt++) {
      const wasTried = known !== undefined
      const answer = known ?? answerWith(await open(path, exchange), exchange, request, reply)
      known = undefined
      // a copy that is checked against the generation proves nothing before
      const unsettledMs = answer.file.isVolatile ? settleMs - answer.file.ageMs() : 0
      if (unsettledMs > 0) {
        answer.file.release()
        if (attempt > maxSettling) throw new StorageError('CHANGED', path)
        await wait(unsettledMs)
        continue
      }
      try {
        return await responder.send(answer, wasTried)
      } catch (error) {
        // Changed before anything was sent: the answer is about the new content then. A file that changes
        // faster than it can be read is given up on.
        const hasChanged = error instanceof StorageError && changedCodes.has(error.code)
        if (!hasChanged || attempt >= maxAttempts) throw error
      } finally {
        answer.file.release()
      }
    }
  }

  async function open(path: string, exchange: Exchange): Promise<OpenFile> {
    const file = await catalog.open(path)
    exchange.openedAfterMs = performance.now() - exchange.startedAtMs
    return file
  }

  function answerWith(
    file: OpenFile,
    exchange: Exchange,
    request: FastifyRequest,
    reply: FastifyReply
  ): Answer {
    const selected = select(file)
    return { exchange, request, reply, file, selected, plan: planFor(request, selected) }
  }

  function planFor(
    request: FastifyRequest,
    { representation }: ReturnType<typeof select>
  ): ResponsePlan {
    const method = request.method === 'HEAD' ? 'HEAD' : 'GET'
    return planResponse(method, request.headers, representation, config.maxRanges)
  }

  function pathOf(request: FastifyRequest): string | undefined {
    // the raw target: decoded once, and by our own rules
    const target = request.raw.url ?? ''
    // a client may send the absolute form (RFC 9112 §3.2.2)
    const start = target.startsWith('/') ? 0 : target.indexOf('/', target.indexOf('//') + 2)
    if (start < 0 || !target.startsWith(config.prefix, start)) return undefined
    const query = target.indexOf('?', start)
    const end = query < 0 ? target.length : query
    return decodeRequestPath(target.slice(start + config.prefix.length, end), config)
  }
}

const maxSettling = 10
const maxAttempts = 3

const changedCodes: ReadonlySet<string> = new Set(['CHANGED', 'SHORT_READ'])

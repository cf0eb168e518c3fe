/** The routes of files. */
import { METHODS } from 'node:http'
import type {
  FastifyContextConfig,
  FastifyInstance,
  FastifyRequest,
  RouteHandlerMethod
} from 'fastify'
import type { FileRequest } from '../delivery/answer.ts'
import { decodeRequestPath } from '../http/request-path.ts'
import { pathBehind } from '../http/request-target.ts'
import type { Observer } from '../metrics/observer.ts'
import { follow } from '../plugins/follow.ts'
import { FileAnswers, type FileAnswersOptions } from './file-answers.ts'

const allowedMethods = 'GET, HEAD, OPTIONS'

export interface FilesOptions<Requested extends FileRequest> extends FileAnswersOptions<Requested> {
  /** as a whole, with that of Fastify's context */
  readonly prefix: string
  readonly dotfiles: 'allow' | 'deny'
  /** whether a path may be asked for; default: every one */
  readonly allows?: ((path: string, request: FastifyRequest) => boolean) | undefined
  /** `config` of the routes */
  readonly routeConfig?: FastifyContextConfig
}

/** Of OPTIONS: what may be asked; the answer to a preflight is on the reply already. */
export function optionsHandler(observer: Observer): RouteHandlerMethod {
  return (request, reply) => {
    follow(observer, request, reply)
    return reply.code(204).header('allow', allowedMethods).send()
  }
}

/** GET and HEAD. */
export function registerFiles<Requested extends FileRequest>(
  app: FastifyInstance,
  options: FilesOptions<Requested>
): void {
  const { prefix, allows, routeConfig: config = {} } = options
  const url = `${prefix.slice(app.prefix.length)}*`
  const route = `${prefix}*`
  const answers = new FileAnswers(options)
  const handle: RouteHandlerMethod = (request, reply) => {
    // the raw target: decoded once, and by our own rules
    const encoded = pathBehind(prefix, request.raw.url ?? '')
    const path = encoded === undefined ? undefined : decodeRequestPath(encoded, options)
    const isAllowed = path === undefined || allows === undefined || allows(path, request)
    return answers.give(request, reply, isAllowed ? path : undefined, route)
  }
  app.get(url, { exposeHeadRoute: false, config }, handle)
  app.head(url, { config }, handle)
}

/** OPTIONS, and the methods that are not allowed: of the service, which answers every request below its prefix. */
export function registerOtherMethods(
  app: FastifyInstance,
  { prefix }: { readonly prefix: string },
  observer: Observer
): void {
  const url = `${prefix}*`
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
}

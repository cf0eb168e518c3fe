/** Cross-origin access, so that a page from elsewhere can read ranges: by @fastify/cors. */
import cors from '@fastify/cors'
import type { FastifyInstance, RouteHandlerMethod } from 'fastify'
import type { Config } from '../config/options.ts'

const exposedHeaders = 'Accept-Ranges, Content-Range, Content-Length, ETag, Last-Modified, Date'

/**
 * @param answerOptions of the files
 * @returns the headers that every file response carries because they are the same for every request. The
 *   plugin's own hook would work them out anew each time, at the price of a twelfth of all small hot
 *   requests; a route that sends them by itself says `config: { cors: false }`. Undefined when the answer
 *   depends on the request's Origin: then the hook's headers are on the reply.
 */
export async function registerCors(
  app: FastifyInstance,
  { corsOrigin, prefix }: Config,
  answerOptions: RouteHandlerMethod
): Promise<Readonly<Record<string, string>> | undefined> {
  if (corsOrigin === 'off') return {}
  const only = corsOrigin === '*' ? '*' : corsOrigin.length === 1 ? corsOrigin[0] : undefined
  if (prefix === '/') {
    // The plugin has a route for OPTIONS of all paths, so that its hook sees preflights: here that is the files'.
    app.addHook('onRoute', (route) => {
      if (route.method === 'OPTIONS' && route.url === '*') route.handler = answerOptions
    })
  }
  await app.register(cors, {
    origin: only ?? [...corsOrigin],
    methods: ['GET', 'HEAD'],
    allowedHeaders: [
      'Range',
      'If-Match',
      'If-None-Match',
      'If-Range',
      'If-Modified-Since',
      'If-Unmodified-Since'
    ],
    exposedHeaders,
    maxAge: 86_400,
    // OPTIONS is answered by the routes, which know what they allow
    preflightContinue: true,
    strictPreflight: false
  })
  if (only === undefined) return undefined
  return {
    'access-control-allow-origin': only,
    'access-control-expose-headers': exposedHeaders
  }
}

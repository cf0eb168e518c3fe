/** Cross-origin access, so that a page from elsewhere can read ranges: by @fastify/cors. */
import cors from '@fastify/cors'
import type { FastifyInstance, RouteHandlerMethod } from 'fastify'
import type { Config } from '../config/options.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** false: @fastify/cors adds nothing to the route's answers */
    cors?: false
  }
}

const rangeHeaders = 'Accept-Ranges, Content-Range, Content-Length, ETag, Last-Modified, Date'

/** The header fields of cross-origin access that a file's answer carries: name, value, name, value … */
export interface CorsFields {
  /** on every answer */
  readonly always: readonly string[]
  /** those that depend on the request's Origin */
  of(origin: string | undefined): readonly string[]
}

/**
 * @param answerOptions of the files
 * @returns what the answers about files carry. The plugin's own hook would work it out anew each time, at the price
 *   of a twelfth of all small hot requests, and below Fastify there is no hook; a route that sends the fields by
 *   itself says `config: { cors: false }`.
 */
export async function registerCors(
  app: FastifyInstance,
  { corsOrigin, prefix, serverTiming }: Config,
  answerOptions: RouteHandlerMethod
): Promise<CorsFields> {
  if (corsOrigin === 'off') return { always: [], of: () => none }
  const sendsTiming = serverTiming === 'on'
  const exposedHeaders = sendsTiming ? `${rangeHeaders}, Server-Timing` : rangeHeaders
  // what a page sees of a resource in its performance timeline: all of the allowed origins, whoever asks
  const timing = sendsTiming ? ['timing-allow-origin', [corsOrigin].flat().join(', ')] : []
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
  const exposed = ['access-control-expose-headers', exposedHeaders, ...timing]
  if (only !== undefined) {
    return { always: ['access-control-allow-origin', only, ...exposed], of: () => none }
  }
  const allowed = new Map(
    [...corsOrigin].map((origin) => [origin, ['access-control-allow-origin', origin]])
  )
  return {
    always: ['vary', 'Origin', ...exposed],
    of: (origin) => (origin === undefined ? none : (allowed.get(origin) ?? none))
  }
}

const none: readonly string[] = []

/**
 * Who may ask the ops port. One hook of the whole server, so that a new route is guarded without doing anything.
 * An operator's browser is a way in for every page that it shows: what those pages send is refused.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { BlockList, isIP } from 'node:net'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Observer } from '../metrics/observer.ts'
import { follow } from './follow.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * With --ops-token: the route's handler runs without the token too, and its answer is the 401. For a document that
     * holds no data and lets a person enter the token.
     */
    asksForToken?: boolean
  }
}

export interface OpsGuardOptions {
  /** as `--ops-host` names it; the address where the server listens decides */
  readonly host: string
  /** undefined: everyone who reaches the port may ask */
  readonly token: string | undefined
  readonly observer: Observer
}

// asked by other names and without a token: they tell nothing about files
const probes: ReadonlySet<string> = new Set(['/healthz', '/readyz'])
const anyHostRoutes: ReadonlySet<string> = new Set(['/metrics', ...probes])

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** @param ops the server of the ops port; routes are registered later */
export function registerOpsGuard(
  ops: FastifyInstance,
  { host, token, observer }: OpsGuardOptions
): void {
  const isRightToken = token === undefined ? () => true : tokenCheck(token)
  // a page of another origin may send this type without being asked first whether it may (Fetch, "simple" requests)
  ops.removeContentTypeParser('text/plain')
  ops.addHook('onRequest', (request, reply, done) => {
    // no answer of this port is for another site, a cache, or a guess at what it is
    reply.header('cross-origin-resource-policy', 'same-origin')
    reply.header('cache-control', 'no-store')
    reply.header('x-content-type-options', 'nosniff')
    const route = request.routeOptions.url ?? ''
    const { authorization } = request.headers
    if (isOnLoopback() && !anyHostRoutes.has(route) && !isLocalHost(request.headers.host, host)) {
      return void refuse(request, reply).forbidden('this Host is not of the loopback interface')
    }
    if (isFromOtherOrigin(request)) {
      return void refuse(request, reply).forbidden('not for pages of other origins')
    }
    if (!probes.has(route) && !isRightToken(authorization)) {
      reply.header('www-authenticate', 'Bearer realm="ops"')
      if (request.routeOptions.config.asksForToken !== true) {
        return void refuse(request, reply).unauthorized('the ops token is wanted: Bearer TOKEN')
      }
      reply.code(401)
    }
    if (hasBody(request) && !isJson(request.headers['content-type'])) {
      return void refuse(request, reply).unsupportedMediaType('application/json, or no body')
    }
    done()
  })

  /** An answer that no route sends is counted here. */
  function refuse(request: FastifyRequest, reply: FastifyReply): FastifyReply {
    follow(observer, request, reply)
    return reply
  }

  function isOnLoopback(): boolean {
    const address = ops.server.address()
    // not listening: a test that injects its requests
    return address === null || typeof address === 'string' || isLoopback(address.address)
  }
}

/** @returns whether an Authorization field has the token; the time it takes tells nothing about the token */
function tokenCheck(token: string): (authorization: string | undefined) => boolean {
  const wanted = digest(token)
  return (authorization) => {
    const given = /^bearer +(\S+)$/i.exec(authorization ?? '')?.[1]
    return given !== undefined && timingSafeEqual(digest(given), wanted)
  }
}

/** Of one length for all tokens, as `timingSafeEqual` wants it. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/** @param address with or without brackets */
function isLoopback(address: string): boolean {
  const bare = address.replace(/^\[(.*)\]$/, '$1')
  const version = isIP(bare)
  return version !== 0 && loopback.check(bare, version === 4 ? 'ipv4' : 'ipv6')
}

/**
 * Whether a Host field means this machine itself. A name that an attacker owns can lead to 127.0.0.1 as well, and a
 * page under that name would be of the same origin as what is served here (DNS rebinding).
 * @param field without one: HTTP/1.0, which no browser sends
 * @param ownName the name by which the service was told to listen
 */
function isLocalHost(field: string | undefined, ownName: string): boolean {
  if (field === undefined) return true
  const name = field.replace(/:\d*$/, '').toLowerCase()
  return name === 'localhost' || name === ownName.toLowerCase() || isLoopback(name)
}

/**
 * Whether a page of another origin has made the browser send this. A link to this port may be followed.
 * @see https://www.w3.org/TR/fetch-metadata/; browsers send Sec-Fetch-Site over TLS and to loopback only
 */
function isFromOtherOrigin({ method, headers }: FastifyRequest): boolean {
  const { origin, host } = headers
  const site = headers['sec-fetch-site']
  if (site === undefined) return origin !== undefined && hostOf(origin) !== host?.toLowerCase()
  if (site === 'same-origin' || site === 'none') return false
  const isNavigation =
    headers['sec-fetch-mode'] === 'navigate' && headers['sec-fetch-dest'] === 'document'
  return !isNavigation || (method !== 'GET' && method !== 'HEAD')
}

/** @returns host and port of an origin, but for the scheme's own port; undefined for `null` and for what is none */
function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined
}

function hasBody({ headers }: FastifyRequest): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0
}

function isJson(contentType: string | undefined): boolean {
  return /^application\/json *(;|$)/i.test(contentType ?? '')
}

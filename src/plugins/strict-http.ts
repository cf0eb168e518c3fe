/**
 * Requests that two readers could read in two ways, and what node:http cannot read at all: refused, and the connection
 * is closed, so that nothing behind them is taken for a request.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { isHost } from '../http/host.ts'
import { Exchange } from '../metrics/exchange.ts'
import type { Observer } from '../metrics/observer.ts'
import { follow } from './follow.ts'

// The longest path, PATH_MAX, takes three characters for each byte; the rest is for the prefix and a query.
const longestTarget = 13 * 1024

/** For all routes of a server, and for paths that have none. */
export function registerStrictHttp(server: FastifyInstance, observer: Observer): void {
  server.addHook('onRequest', (request, reply, done) => {
    const refusal = refusalOf(request.raw)
    if (refusal === undefined) return done()
    follow(observer, request, reply)
    reply.header('connection', 'close')
    done(server.httpErrors.createError(refusal.status, refusal.message))
  })
}

/** @param rawHeaders name, value, name, value … */
function hostFields(rawHeaders: readonly string[]): number {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string
    if (name.length === 4 && name.toLowerCase() === 'host') count++
  }
  return count
}

interface Refusal {
  readonly status: number
  readonly message: string
}

/** @returns undefined where there is one reading only */
function refusalOf({
  httpVersion,
  headers,
  rawHeaders,
  url = ''
}: IncomingMessage): Refusal | undefined {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') {
    return { status: 505, message: 'HTTP/1.0 or HTTP/1.1' }
  }
  // node:http keeps the first of several, and asks for one in HTTP/1.1 alone
  if (hostFields(rawHeaders) > 1) return { status: 400, message: 'more than one Host' }
  if (headers.host !== undefined && !isHost(headers.host)) {
    return { status: 400, message: 'Host is neither a name nor an address' }
  }
  const coding = headers['transfer-encoding']
  if (coding !== undefined) {
    // RFC 9112 §6.1: its framing is faulty, whoever sent it
    if (httpVersion === '1.0') return { status: 400, message: 'Transfer-Encoding in HTTP/1.0' }
    // the parser takes every list that ends with chunked
    if (coding.toLowerCase() !== 'chunked')
      return { status: 501, message: 'chunked alone is known' }
  }
  if (url.length > longestTarget) return { status: 414, message: 'the target is too long' }
  return undefined
}

/**
 * What node:http could not read, or waited for too long, is answered here, below Fastify, if it can be.
 * @returns a listener for `clientError`
 */
export function clientErrorHandler(observer: Observer): (error: Error, socket: Socket) => void {
  return (error, socket) => {
    const { code, reason, rawPacket } = error as ClientError
    if (code === 'ECONNRESET' || socket.destroyed) return
    const status = statusOf({ code, reason, rawPacket })
    // behind the head of another answer this one would be a part of that body; behind a last one nothing is read
    if (socket.writable && !hasAnswer(socket)) {
      const exchange = new Exchange('', '', undefined, 'none')
      exchange.status = status
      observer.meet(exchange, {}, socket.remoteAddress)
      const label = STATUS_CODES[status] ?? ''
      const body = JSON.stringify({ statusCode: status, error: label, message: label })
      socket.write(
        `HTTP/1.1 ${status} ${label}\r\nContent-Length: ${body.length}\r\nContent-Type: application/json\r\n\r\n${body}`
      )
      observer.conclude(exchange)
    }
    socket.destroy(error)
  }
}

/** As node:http emits it. */
interface ClientError extends Error {
  readonly code: string | undefined
  /** in the words of the parser */
  readonly reason: string | undefined
  /** the bytes that came last */
  readonly rawPacket: Buffer | undefined
}

function statusOf({ code, reason, rawPacket }: Omit<ClientError, keyof Error>): number {
  switch (code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 408
    case 'HPE_INVALID_TRANSFER_ENCODING':
      // of both fields together, which no coding would make right
      return reason?.includes('Content-Length') === true ? 400 : 501
    case 'HPE_HEADER_OVERFLOW':
      // As far as the last bytes tell. Of a target that came in pieces the method is not among them.
      return rawPacket !== undefined && hasLongTarget(rawPacket) ? 414 : 431
    default:
      return 400
  }
}

function hasLongTarget(packet: Buffer): boolean {
  const lines = packet.toString('latin1').split('\n')
  return lines.some((line) => line.length > longestTarget && /^[A-Z]+ \S+/.test(line))
}

/** Whether an answer on a connection is not complete yet, or is the last one. */
function hasAnswer(socket: Socket): boolean {
  // what node:http keeps on a socket while a response has its turn, and whether the connection ends with it
  const { _httpMessage: response } = socket as { _httpMessage?: Response | null }
  if (response === undefined || response === null) return false
  return !response.writableEnded || !response.shouldKeepAlive || response._last === true
}

type Response = ServerResponse & { readonly _last?: boolean }

/** Sinks for a response of node:http: on a plain socket, and on everything else (TLS, HTTP/2, injected requests). */
import { ServerResponse } from 'node:http'
import { constants, type ServerHttp2Stream } from 'node:http2'
import { type FieldBlock, SendError, type Sink } from '../delivery/sink.ts'
import { descriptorOf, SocketSink } from '../delivery/socket-sink.ts'

/**
 * @param response whose turn on its connection has come, see `turnOf`
 * @param whenBegun called before the head is made: from then on the response is the sink's
 */
export function sinkFor(response: ServerResponse, whenBegun: () => void): Sink {
  const { socket } = response
  const fd = socket === null ? undefined : descriptorOf(socket)
  if (fd === undefined || !knowsItsHead(response)) return new PortableSink(response, whenBegun)
  return new ResponseSink(response, fd, whenBegun)
}

/** What node:http keeps between `writeHead` and the first write: the head as text. */
interface Head {
  _header: string | null
  _headerSent: boolean
}

/**
 * `_header` and `_headerSent` are not documented, but older than anything else here. Where a Node has them no more,
 * the portable sink does without.
 */
function knowsItsHead(response: ServerResponse): response is ServerResponse & Head {
  // what HTTP/2 has in its place has a member of this name, too
  return response instanceof ServerResponse && '_header' in response && '_headerSent' in response
}

/**
 * node:http makes the head and keeps the connection; the bytes go past it, to the kernel. So its `end` finds
 * nothing left to send.
 */
class ResponseSink extends SocketSink {
  readonly #response: ServerResponse & Head

  readonly #whenBegun: () => void

  constructor(response: ServerResponse & Head, fd: number, whenBegun: () => void) {
    // `sinkFor` has seen that it has one
    super(response.socket as NonNullable<ServerResponse['socket']>, fd, response)
    this.#response = response
    this.#whenBegun = whenBegun
  }

  begin(status: number, common: FieldBlock, own: readonly string[]): void {
    this.#whenBegun()
    this.#response.writeHead(status, [...common.fields, ...own])
    this.append(this.#response._header ?? '')
  }

  end(): void {
    this.flush()
    this.#response._headerSent = true
    this.detach()
    this.#response.end()
  }
}

/** By the response's own `write`, of copies alone: TLS, HTTP/2, requests that were injected. */
class PortableSink implements Sink {
  readonly canSendNow = false
  readonly #response: ServerResponse
  readonly #whenBegun: () => void
  readonly #abortController = new AbortController()
  #rejectWrite: ((error: SendError) => void) | undefined

  constructor(response: ServerResponse, whenBegun: () => void) {
    this.#response = response
    this.#whenBegun = whenBegun
    response.once('close', () => {
      this.#abortController.abort()
      this.#rejectWrite?.(new SendError('client_gone'))
    })
    // a write that fails is told to its callback; without a listener the same error would end the process
    response.on('error', () => {})
  }

  get signal(): AbortSignal {
    return this.#abortController.signal
  }

  begin(status: number, common: FieldBlock, own: readonly string[]): void {
    this.#whenBegun()
    for (const [name, values] of grouped([...common.fields, ...own])) {
      this.#response.setHeader(name, values.length === 1 ? (values[0] as string) : values)
    }
    this.#response.writeHead(status)
  }

  append(text: string): void {
    this.#response.write(text, 'latin1')
  }

  sendNow(): number {
    return 0
  }

  write(bytes: Uint8Array): Promise<void> {
    if (this.signal.aborted) return Promise.reject(new SendError('client_gone'))
    return new Promise((resolve, reject) => {
      this.#rejectWrite = reject
      this.#response.write(bytes, (error) => {
        if (error) reject(new SendError('client_gone', { cause: error }))
        else resolve()
      })
    })
  }

  end(): void {
    this.#response.end()
  }

  abort(): void {
    const { stream } = this.#response as { stream?: ServerHttp2Stream }
    // a stream of HTTP/2 that is only destroyed ends without an error
    if (stream === undefined) this.#response.destroy()
    else stream.close(constants.NGHTTP2_INTERNAL_ERROR)
  }
}

/** @param fields name, value, name, value …; a name may come more than once, as that of Set-Cookie */
function grouped(fields: readonly string[]): ReadonlyMap<string, string[]> {
  const values = new Map<string, string[]>()
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const [name, value] = [fields[i] as string, fields[i + 1] as string]
    const others = values.get(name)
    if (others === undefined) values.set(name, [value])
    else others.push(value)
  }
  return values
}

// Pipelined requests that wait for their turn, beyond which no more are read from a connection.
const maxWaiting = 16
const waiting = new WeakMap<object, number>()

/**
 * When it is a response's turn on its connection. node:http hands out pipelined requests as they come; nothing is
 * opened, planned or read for one before the answers before it are complete.
 * @returns undefined when it is its turn; otherwise whether it came, false when the connection closed before
 */
export function turnOf(response: ServerResponse): Promise<boolean> | undefined {
  const { socket } = response.req
  // node:http has ended the connection with an answer of its own (a request without Host) and hands out what comes
  // behind it; an answer that reached the kernel would finish out of order, which ends the process
  if (socket.writableEnded) return Promise.resolve(false)
  // an injected response has a socket of its own from the beginning, or none at all and no turn to wait for
  if (response.socket !== null || !('_httpMessage' in socket)) return undefined
  const count = (waiting.get(socket) ?? 0) + 1
  waiting.set(socket, count)
  if (count === maxWaiting) socket.pause()
  return new Promise((resolve) => {
    const settle = (hasCome: boolean) => {
      socket.off('close', whenClosed)
      const left = (waiting.get(socket) ?? 1) - 1
      waiting.set(socket, left)
      if (left === maxWaiting - 1) socket.resume()
      resolve(hasCome)
    }
    const whenClosed = () => settle(false)
    socket.once('close', whenClosed)
    // node:http announces the turn only by assigning the socket to the response
    const { assignSocket } = response
    response.assignSocket = (assigned) => {
      response.assignSocket = assignSocket
      response.assignSocket(assigned)
      settle(true)
    }
  })
}

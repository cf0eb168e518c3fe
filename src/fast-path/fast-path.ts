/**
 * Connections that begin below node:http. Plain GET and HEAD requests of files are answered from the socket's bytes
 * to the kernel, by the same plan and the same delivery as everywhere else. A connection on which anything else
 * comes is node:http's and Fastify's from then on, with the bytes that were read.
 */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { descriptorOf } from '../delivery/socket-sink.ts'
import { Connection, type ConnectionOptions } from './connection.ts'

export interface FastPathLimits {
  /** a connection this long without a request or an answer is closed */
  readonly keepAliveTimeoutMs: number
  /** a connection this long without its first request */
  readonly headersTimeoutMs: number
  /** how often connections are looked at */
  readonly checkIntervalMs: number
}

export type FastPathOptions = Omit<
  ConnectionOptions,
  'connectionLines' | 'handOver' | 'isLeaving'
> & {
  readonly limits: FastPathLimits
  /** whether requests of this socket must be refused: node:http does that */
  readonly isShedding: (socket: Socket) => boolean
}

export class FastPath {
  /** each with the listener that forgets it */
  readonly #connections = new Map<Connection, () => void>()
  readonly #server: Server
  readonly #limits: FastPathLimits
  readonly #checker: NodeJS.Timeout
  #isDraining = false

  /** Takes the connections of a server that does not listen yet. */
  constructor(server: Server, options: FastPathOptions) {
    const { limits, isShedding } = options
    this.#limits = limits
    this.#server = server
    // the one that a server of node:http is made with: it parses what comes
    const [parse] = server.listeners('connection') as [(socket: Socket) => void]
    server.off('connection', parse)
    const connectionOptions: ConnectionOptions = {
      ...options,
      connectionLines:
        'Connection: keep-alive\r\n' +
        `Keep-Alive: timeout=${Math.floor(limits.keepAliveTimeoutMs / 1000)}\r\n`,
      isLeaving: (socket) => this.#isDraining || isShedding(socket),
      handOver: (connection) => {
        this.#forget(connection)
        parse.call(server, connection.socket)
      }
    }
    server.prependListener('connection', (socket: Socket) => {
      const fd = descriptorOf(socket)
      if (fd === undefined) return parse.call(server, socket)
      const connection = new Connection(socket, fd, connectionOptions)
      const forget = () => this.#forget(connection)
      this.#connections.set(connection, forget)
      socket.once('close', forget)
    })
    this.#checker = setInterval(() => this.#check(), limits.checkIntervalMs).unref()
  }

  /** connections on the fast path now */
  get size(): number {
    return this.#connections.size
  }

  /** From now on: connections without a request end, and each other one after its answer. */
  drain(): void {
    this.#isDraining = true
    this.closeIdle()
  }

  closeIdle(): void {
    for (const connection of this.#connections.keys()) {
      if (connection.isIdle) connection.socket.destroy()
    }
  }

  /** Cuts what still runs. */
  close(): void {
    clearInterval(this.#checker)
    for (const { socket } of this.#connections.keys()) socket.destroy()
  }

  #forget(connection: Connection): void {
    const forget = this.#connections.get(connection)
    if (forget !== undefined) connection.socket.off('close', forget)
    this.#connections.delete(connection)
  }

  #check(): void {
    const now = performance.now()
    const { keepAliveTimeoutMs, headersTimeoutMs } = this.#limits
    for (const connection of this.#connections.keys()) {
      if (!connection.isIdle) continue
      const { socket, hasAsked, lastActiveMs } = connection
      const idleMs = now - lastActiveMs
      if (hasAsked && idleMs > keepAliveTimeoutMs) socket.destroy()
      // as node:http does it, whose listeners answer 408
      else if (!hasAsked && idleMs > headersTimeoutMs) {
        this.#server.emit('clientError', timedOut(), socket)
      }
    }
  }
}

function timedOut(): Error {
  return Object.assign(new Error('Request timeout'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' })
}

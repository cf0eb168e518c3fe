/**
 * How many connections a server has. Those beyond the limit are told to come back later, which takes a
 * descriptor; those far beyond it are reset.
 */
import type { Server, Socket } from 'node:net'
import { firstReservedDescriptor } from '../config/descriptors.ts'
import { descriptorOf } from '../delivery/socket-sink.ts'

// beyond the limit times this, connections are reset
const hardLimitFactor = 1.5
// Turns of the event loop in which others that have ended are noticed before a connection is reset.
const turnsOfGrace = 3

/**
 * `server.maxConnections` of node:net is not used: in a worker to which the parent hands connections it means
 * "another worker may take it", and when all workers say so, the parent offers it again for ever.
 */
export class ConnectionLimit {
  readonly #max: number
  readonly #hardMax: number
  readonly #open = new Set<Socket>()
  readonly #excess = new WeakSet<Socket>()

  /** Counts the connections of a server from now on. @param max connections that are served */
  constructor(server: Server, max: number) {
    this.#max = max
    this.#hardMax = Math.ceil(max * hardLimitFactor)
    server.on('connection', (socket: Socket) => this.#begin(socket))
  }

  /** Whether a socket is one of those beyond the limit, as long as there are any. */
  isExcess(socket: Socket): boolean {
    return this.#open.size > this.#max && this.#excess.has(socket)
  }

  #begin(socket: Socket): void {
    this.#open.add(socket)
    socket.once('close', () => this.#open.delete(socket))
    socket.once('end', () => process.nextTick(() => this.#ended(socket)))
    if ((descriptorOf(socket) ?? 0) >= firstReservedDescriptor) {
      this.#reset(socket)
      return
    }
    if (this.#open.size <= this.#max) return
    this.#excess.add(socket)
    // Not at once: clients of others may have gone already, and this one must not pay for them.
    if (this.#open.size > this.#hardMax) this.#resetLater(socket, turnsOfGrace)
  }

  /** The client has closed: once all is said, the connection is no burden, though its 'close' comes turns later. */
  #ended(socket: Socket): void {
    if (socket.writableEnded && socket.writableLength === 0) this.#open.delete(socket)
  }

  #resetLater(socket: Socket, turns: number): void {
    if (socket.destroyed || this.#open.size <= this.#hardMax) return
    if (turns === 0) this.#reset(socket)
    else setImmediate(() => this.#resetLater(socket, turns - 1))
  }

  #reset(socket: Socket): void {
    this.#open.delete(socket)
    socket.resetAndDestroy()
  }
}

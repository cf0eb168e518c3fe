/**
 * More than one connection per turn of the event loop. libuv accepts one connection each time it looks at a
 * listening socket, so that a thousand clients who come at once wait for a thousand turns. Here the others that
 * wait are taken as soon as one has come. This is the only file that knows what a server of node:net is inside.
 */
import { closeSync } from 'node:fs'
import type { Server } from 'node:net'
import { acceptNow } from '../storage/native/sockets.ts'

// A turn stays short for those who are connected: to begin this many connections takes 2 ms.
const mostPerTurn = 64

// TCPConstants.SOCKET and PipeConstants.SOCKET of Node: the kind of a handle that does not listen
const SOCKET = 0

/** What libuv's stream handles show to JavaScript. */
interface StreamHandle {
  readonly fd: number
  /** @returns 0, or a negated errno */
  open(fd: number): number
  close(): void
}

/** The handle of a server. */
interface ListeningHandle extends StreamHandle {
  readonly constructor: new (kind: number) => StreamHandle
  /**
   * What Node does with each connection that libuv accepts: it makes the socket with the options of the server,
   * counts it among the connections that `close` waits for, and emits 'connection'. Called here for ours, so
   * that nobody can tell them apart.
   */
  onconnection(status: number, connection: StreamHandle): void
}

/**
 * Take all connections that wait, up to a bound, whenever a server has got one. Where the server has no
 * listening descriptor, as in a worker to which the parent hands connections, nothing is done.
 * @param server listens now or later
 * @param maxConnections with so many open, no more are taken than libuv takes: what has ended is noticed first
 */
export function acceptMore(server: Server, maxConnections: number): void {
  let isTaking = false
  server.on('connection', () => {
    if (isTaking) return
    isTaking = true
    try {
      takeWaiting(server, maxConnections)
    } finally {
      isTaking = false
    }
  })
}

function takeWaiting(server: Server, maxConnections: number): void {
  // not part of the interface of node:net; the same from Node 20 to 26
  const internals = server as unknown as { _handle: unknown; _connections: number }
  const handle = internals._handle
  if (!isListeningHandle(handle)) return
  for (let taken = 0; taken < mostPerTurn; taken++) {
    // a listener may have closed the server
    if (internals._handle !== handle || internals._connections >= maxConnections) return
    // On any error libuv tries again in the next turn, and does what is to be done about EMFILE.
    const fd = acceptNow(handle.fd)
    if (fd < 0) return
    const connection = new handle.constructor(SOCKET)
    if (connection.open(fd) === 0) handle.onconnection(0, connection)
    else closeSync(fd)
  }
}

function isListeningHandle(handle: unknown): handle is ListeningHandle {
  if (typeof handle !== 'object' || handle === null) return false
  const { fd, open, onconnection } = handle as Partial<ListeningHandle>
  return (
    typeof fd === 'number' &&
    fd >= 0 &&
    typeof open === 'function' &&
    typeof onconnection === 'function'
  )
}

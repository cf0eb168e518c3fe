/** The end of the process: no new connections, running responses end, and what still runs is cut. */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Logger } from 'pino'
import type { App } from './app.ts'

// how often connections that have become idle are closed while the rest is waited for
const idleCheckMs = 50

/**
 * @param timeoutMs how long running responses may take to end after the first signal; a second signal ends
 *   the process at once
 */
export function shutDownOn(
  signals: readonly NodeJS.Signals[],
  { server, ops, readiness }: App,
  timeoutMs: number,
  log: Logger
): void {
  const closeIdle = idleCloser(server.server)
  let isDraining = false
  const drain = async (signal: NodeJS.Signals) => {
    if (isDraining) {
      log.warn({ signal }, 'second signal: ending at once')
      process.exit(1)
    }
    isDraining = true
    readiness.drain()
    log.info({ signal, timeoutMs }, 'draining')
    const idle = setInterval(closeIdle, idleCheckMs)
    const cut = setTimeout(() => {
      log.warn('the shutdown timeout is over: cutting what still runs')
      server.server.closeAllConnections()
    }, timeoutMs)
    await server.close()
    // last, so that probes and scrapers see it drain
    ops?.server.closeAllConnections()
    await ops?.close()
    clearInterval(idle)
    clearTimeout(cut)
    log.info('stopped')
    process.exit(0)
  }
  for (const signal of signals) process.on(signal, (received) => void drain(received))
}

/** For node:http a connection that never sent anything, as browsers open them in advance, is not idle. */
function idleCloser(server: Server): () => void {
  const connections = new Set<Socket>()
  server.on('connection', (socket) => {
    connections.add(socket)
    socket.once('close', () => connections.delete(socket))
  })
  return () => {
    server.closeIdleConnections()
    for (const socket of connections) {
      if (socket.bytesRead === 0) socket.destroy()
    }
  }
}

/** The end of the process: no new connections, running responses end, and what still runs is cut. */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import type { Logger } from 'pino'
import type { App } from '../app.ts'
import { untilSent } from './unsent.ts'

// how often connections that have become idle are closed while the rest is waited for
const idleCheckMs = 50

/** The signals that ask a process to end. */
export const endSignals = ['SIGTERM', 'SIGINT'] as const

/**
 * @param drain lets running responses end; a second signal does not wait for it
 * @param endAtOnce what is left to do before the process ends in spite of running responses
 * @returns the exit status, as soon as a signal has led to the end
 */
export function endOnSignal(
  log: Logger,
  drain: () => Promise<void>,
  endAtOnce: () => void = () => {}
): Promise<number> {
  return new Promise((resolve, reject) => {
    let isDraining = false
    const end = async (signal: NodeJS.Signals) => {
      if (isDraining) {
        log.warn({ signal }, 'second signal: ending at once')
        endAtOnce()
        return resolve(1)
      }
      isDraining = true
      log.info({ signal }, 'draining')
      await drain()
      log.info('stopped')
      resolve(0)
    }
    for (const signal of endSignals) {
      process.on(signal, (received) => void end(received).catch(reject))
    }
  })
}

/**
 * @param timeoutMs how long running responses may take to end
 * @returns what accepts no more connections, waits for running responses, and cuts those that take longer
 */
export function drainer(
  { server, ops, fastPath, readiness }: App,
  timeoutMs: number,
  log: Logger
): () => Promise<void> {
  const closeIdle = idleCloser(server.server)
  return async () => {
    readiness.drain()
    fastPath?.drain()
    const idle = setInterval(() => {
      closeIdle()
      fastPath?.closeIdle()
    }, idleCheckMs)
    const cut = setTimeout(() => {
      log.warn('the shutdown timeout is over: cutting what still runs')
      fastPath?.close()
      server.server.closeAllConnections()
    }, timeoutMs)
    await server.close()
    // last, so that probes and scrapers see it drain
    await closeOps(ops)
    clearInterval(idle)
    clearTimeout(cut)
  }
}

/**
 * @param drain what lets running responses end
 * @param port asked for when the draining begins; undefined while nothing listens
 * @param timeoutMs for all of it
 * @returns what also waits for the kernel to have sent them
 */
export function drainToTheLastByte(
  drain: () => Promise<void>,
  port: () => number | undefined,
  timeoutMs: number
): () => Promise<void> {
  return async () => {
    const startedAtMs = performance.now()
    const listened = port()
    await drain()
    if (listened === undefined) return
    await untilSent(listened, timeoutMs - (performance.now() - startedAtMs))
  }
}

export async function closeOps(ops: App['ops']): Promise<void> {
  ops?.server.closeAllConnections()
  await ops?.close()
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

/** Listening, and saying where. */
import { readFileSync } from 'node:fs'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from '../config/options.ts'
import { sampleFolder } from '../config/package.ts'
import { mapper } from '../storage/native/mapping.ts'
import { cannotListen } from './cannot-serve.ts'
import { startLines } from './start-lines.ts'
import { isForPeople } from './text-line.ts'

export interface ListenOptions {
  /** whether others that say the same may listen on this port too: the kernel shares the connections out */
  readonly reusePort?: boolean
}

/**
 * @returns the origin, such as http://127.0.0.1:8080
 * @throws CannotServe
 */
export async function listen(
  server: FastifyInstance,
  host: string,
  port: number,
  options: ListenOptions = {}
): Promise<string> {
  const backlog = longestBacklog()
  try {
    // handed on to node:net as it is
    return await server.listen({ host, port, ...(backlog && { backlog }), ...options })
  } catch (error) {
    throw cannotListen(error, host, port)
  }
}

/**
 * Connections that may wait to be accepted. Node asks for 511, and beyond that a client's handshake is dropped and
 * sent again a second later.
 * @returns as many as the system allows; undefined where it does not tell
 * @see listen(2), somaxconn
 */
function longestBacklog(): number | undefined {
  try {
    return Number.parseInt(readFileSync('/proc/sys/net/core/somaxconn', 'utf8'), 10) || undefined
  } catch {
    return undefined
  }
}

/**
 * @returns the origin of the ops port, undefined without one
 * @throws CannotServe
 */
export async function listenForOps(
  ops: FastifyInstance | undefined,
  { opsHost, opsPort }: Config
): Promise<string | undefined> {
  if (ops === undefined || opsPort === undefined) return undefined
  return listen(ops, opsHost, opsPort)
}

/** The line of the log that means: ready; in a log for people, a few lines. */
export function logListening(
  config: Config,
  log: Logger,
  url: string,
  opsUrl: string | undefined
): void {
  const { mode, guard, workers, root } = config
  if (isForPeople(config)) {
    if (log.isLevelEnabled('info')) process.stdout.write(startLines(config, mapper, url, opsUrl))
    return
  }
  log.info({ url, opsUrl, mode, guard, mapper, workers, root }, 'listening')
  if (root === sampleFolder) {
    process.stderr.write(`Try it:  curl -r 0-99 ${url}README.txt\n`)
  }
  if (opsUrl !== undefined && (root === sampleFolder || process.stderr.isTTY)) {
    process.stderr.write(`Live page, for operators:  ${opsUrl}/\n`)
  }
}

/** Listening, and saying where. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from '../config/options.ts'
import { sampleFolder } from '../config/package.ts'
import { cannotListen } from './cannot-serve.ts'

/**
 * @returns the origin, such as http://127.0.0.1:8080
 * @throws CannotServe
 */
export async function listen(server: FastifyInstance, host: string, port: number): Promise<string> {
  try {
    return await server.listen({ host, port })
  } catch (error) {
    throw cannotListen(error, host, port)
  }
}

/**
 * @returns the origin of the ops port, undefined without one
 * @throws CannotServe
 */
export async function listenForOps(
  ops: FastifyInstance | undefined,
  { host, opsPort }: Config
): Promise<string | undefined> {
  if (ops === undefined || opsPort === undefined) return undefined
  return listen(ops, host, opsPort)
}

/**
 * @returns a port on which nothing listens now
 * @throws CannotServe
 */
export async function freePort(host: string): Promise<number> {
  const server = createServer()
  server.listen({ host, port: 0 })
  try {
    await once(server, 'listening')
  } catch (error) {
    throw cannotListen(error, host, 0)
  }
  const { port } = server.address() as AddressInfo // it listens on TCP
  server.close()
  await once(server, 'close')
  return port
}

/** The line of the log that means: ready. */
export function logListening(
  { mode, guard, workers, root }: Config,
  log: Logger,
  url: string,
  opsUrl: string | undefined
): void {
  log.info({ url, opsUrl, mode, guard, workers, root }, 'listening')
  if (root === sampleFolder) {
    process.stderr.write(`Try it:  curl -r 0-99 ${url}README.txt\n`)
  }
}

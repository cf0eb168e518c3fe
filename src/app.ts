/** The service as a Fastify instance: plugins first, then routes, in reading order. It never listens. */
import sensible from '@fastify/sensible'
import fastify, { type FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from './config.ts'
import { registerErrors } from './errors.ts'
import { registerCors } from './routes/cors.ts'
import { registerFiles } from './routes/files.ts'
import { registerHealth } from './routes/health.ts'
import { openStorage, type Storage } from './storage/storage.ts'

export interface App {
  readonly server: FastifyInstance
  readonly storage: Storage
}

// A client gets this long for its headers, and a connection this long without a byte moved either way.
const headersTimeoutMs = 10_000
const idleTimeoutMs = 120_000
const keepAliveTimeoutMs = 72_000
// how often connections are looked at for the limits above; sooner means a sharper limit
const checkIntervalMs = 5_000
const maxHeaderBytes = 16 * 1024

/** @throws the system's error when the root cannot be looked at */
export async function buildApp(config: Config, log: Logger): Promise<App> {
  const storage = await openStorage({ ...config, isGuarded: config.guard === 'on' })
  const server = fastify({
    // Fastify's own logger costs a child and two listeners for each request, a tenth of all small hot
    // requests; what we log, we log ourselves.
    logger: false,
    connectionTimeout: idleTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    requestTimeout: 2 * headersTimeoutMs,
    forceCloseConnections: 'idle',
    http: {
      headersTimeout: headersTimeoutMs,
      connectionsCheckingInterval: checkIntervalMs,
      maxHeaderSize: maxHeaderBytes
    }
  })
  await server.register(sensible)
  const corsHeaders = await registerCors(server, config)
  registerErrors(server, log)
  registerHealth(server, storage)
  registerFiles(server, { config, storage, log, corsHeaders })
  server.addHook('onClose', () => storage.close())
  return { server, storage }
}

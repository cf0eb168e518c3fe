/** The service put together: storage, metrics, and one or two Fastify instances. It never listens. */
import sensible from '@fastify/sensible'
import fastify, { type FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from './config.ts'
import { registerErrors } from './errors.ts'
import { Observer } from './metrics/observer.ts'
import { createMetrics } from './metrics/registry.ts'
import { StallWatch } from './metrics/stalls.ts'
import { Readiness } from './readiness.ts'
import { registerCors } from './routes/cors.ts'
import { optionsHandler, registerFiles } from './routes/files.ts'
import { registerOps } from './routes/ops.ts'
import { registerResidency } from './routes/residency.ts'
import { openStorage, type Storage } from './storage/storage.ts'
import { WarmUp } from './warm-up.ts'

export interface App {
  /** serves the files; without an ops port also metrics, health and readiness */
  readonly server: FastifyInstance
  /** serves operators; undefined without an ops port */
  readonly ops: FastifyInstance | undefined
  readonly storage: Storage
  readonly readiness: Readiness
}

// A client gets this long for its headers, and a connection this long without a byte moved either way.
const headersTimeoutMs = 10_000
const idleTimeoutMs = 120_000
const keepAliveTimeoutMs = 72_000
// how often connections are looked at for the limits above; sooner means a sharper limit
const checkIntervalMs = 5_000
const maxHeaderBytes = 16 * 1024

/**
 * @param version of the program
 * @throws the system's error when the root cannot be looked at
 */
export async function buildApp(config: Config, log: Logger, version: string): Promise<App> {
  const storage = await openStorage({ ...config, isGuarded: config.guard === 'on' })
  const { mode, guard } = config
  const metrics = createMetrics(storage, { version, mode, guard })
  const observer = new Observer({ metrics, log, withExemplars: config.exemplars === 'on' })
  const stalls = new StallWatch(config.stallThresholdMs, log)
  const warmUp = new WarmUp(config, storage, log)
  const readiness = new Readiness(storage.catalog, warmUp)

  const server = await createServer(log, observer)
  const corsHeaders = await registerCors(server, config, optionsHandler(observer))
  registerFiles(server, { config, storage, log, observer, stalls, corsHeaders })
  const ops = config.opsPort === undefined ? undefined : await createServer(log, observer)
  // a context of its own: its hooks are not for the files
  await (ops ?? server).register((context, _options, done) => {
    registerOps(context, { metrics, observer, readiness })
    if (ops !== undefined) registerResidency(context, { storage, dotfiles: config.dotfiles })
    done()
  })
  server.addHook('onListen', (done) => {
    warmUp.run().catch((error: unknown) => log.error({ err: error }, 'warming failed'))
    done()
  })
  server.addHook('onClose', () => {
    warmUp.stop()
    stalls.close()
    storage.close()
  })
  return { server, ops, storage, readiness }
}

async function createServer(log: Logger, observer: Observer): Promise<FastifyInstance> {
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
  // Every pipelined answer that waits for its turn listens for the end of the one connection.
  server.server.on('connection', (socket) => socket.setMaxListeners(0))
  await server.register(sensible)
  registerErrors(server, log, observer)
  return server
}

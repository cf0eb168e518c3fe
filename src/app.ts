/** The service put together: storage, metrics, and one or two Fastify instances. It never listens. */
import sensible from '@fastify/sensible'
import fastify, { type FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from './config/options.ts'
import { Observer } from './metrics/observer.ts'
import { createMetrics, type Metrics, readMetrics } from './metrics/registry.ts'
import { StallWatch } from './metrics/stalls.ts'
import { registerCors } from './plugins/cors.ts'
import { type ErrorsOptions, registerErrors } from './plugins/errors.ts'
import { registerShedding } from './plugins/shedding.ts'
import { optionsHandler, registerFiles } from './routes/files.ts'
import { registerOps, type Service } from './routes/ops.ts'
import { Readiness } from './routes/readiness.ts'
import { registerResidency } from './routes/residency.ts'
import { openStorage } from './storage/storage.ts'
import { WarmUp } from './storage/warm-up.ts'

export interface App {
  /** serves the files; without an ops port also metrics, health and readiness */
  readonly server: FastifyInstance
  /** serves operators; undefined without an ops port, and in a worker */
  readonly ops: FastifyInstance | undefined
  readonly readiness: Readiness
  readonly metrics: Metrics
}

/** What the parent of several workers has: no files to serve, but an ops port, if one is wanted. */
export type ParentApp = Omit<App, 'server'> & { readonly warmUp: WarmUp; close(): void }

// A client gets this long for its headers, and a connection this long without a byte moved either way.
const headersTimeoutMs = 10_000
const idleTimeoutMs = 120_000
const keepAliveTimeoutMs = 72_000
// how often connections are looked at for the limits above; sooner means a sharper limit
const checkIntervalMs = 5_000
const maxHeaderBytes = 16 * 1024

/**
 * @param version of the program
 * @param whole the service that this process is one worker of; undefined: this process is the service
 * @throws the system's error when the root cannot be looked at
 */
export async function buildApp(
  config: Config,
  log: Logger,
  version: string,
  whole?: Service
): Promise<App> {
  const core = await createCore(config, log, version, true)
  const { storage, metrics, observer, warmUp, readiness } = core
  const stalls = new StallWatch(config.stallThresholdMs, log)
  const { counters } = storage
  const server = await createServer({ log, observer, counters })
  const corsHeaders = await registerCors(server, config, optionsHandler(observer))
  // a context of its own: metrics and health are asked for most of all under overload
  await server.register((context, _options, done) => {
    registerShedding(context, config, observer)
    registerFiles(context, { config, storage, log, observer, stalls, corsHeaders })
    done()
  })
  const service = whole ?? {
    metrics: () => readMetrics(metrics),
    whyNotReady: () => readiness.whyNot()
  }
  let ops: FastifyInstance | undefined
  if (config.opsPort === undefined) {
    // a context of its own: its hooks are not for the files
    await server.register((context, _options, done) => {
      registerOps(context, { service, observer })
      done()
    })
  } else if (whole === undefined) {
    ops = await createOps(config, log, core, service)
  }
  server.addHook('onListen', (done) => {
    startWarming(warmUp, log)
    done()
  })
  server.addHook('onClose', () => {
    warmUp.stop()
    stalls.close()
    storage.close()
  })
  return { server, ops, readiness, metrics }
}

/**
 * What the parent of workers serves itself. It opens files only to tell of their residency and to warm them,
 * which is for the page cache that all workers share.
 * @param whole all workers and the parent, as one
 * @throws the system's error when the root cannot be looked at
 */
export async function buildParentApp(
  config: Config,
  log: Logger,
  version: string,
  whole: Service
): Promise<ParentApp> {
  const core = await createCore(config, log, version, false)
  const { storage, metrics, warmUp, readiness } = core
  const ops = config.opsPort === undefined ? undefined : await createOps(config, log, core, whole)
  const close = () => {
    warmUp.stop()
    storage.close()
  }
  return { ops, readiness, metrics, warmUp, close }
}

/** Not awaited: readiness tells how far it is. */
export function startWarming(warmUp: WarmUp, log: Logger): void {
  warmUp.run().catch((error: unknown) => log.error({ err: error }, 'warming failed'))
}

type Core = Awaited<ReturnType<typeof createCore>>

/** What every process of the service has, whether it serves files or not. */
async function createCore(config: Config, log: Logger, version: string, servesFiles: boolean) {
  const storage = await openStorage({ ...config, isGuarded: config.guard === 'on' })
  const { mode, guard } = config
  const metrics = createMetrics(storage, { version, mode, guard, servesFiles })
  const observer = new Observer({ metrics, log, withExemplars: config.exemplars === 'on' })
  const warmUp = new WarmUp(config, storage, log)
  const readiness = new Readiness(storage.catalog, warmUp)
  return { storage, metrics, observer, warmUp, readiness }
}

async function createOps(
  config: Config,
  log: Logger,
  { storage, observer }: Core,
  service: Service
): Promise<FastifyInstance> {
  const ops = await createServer({ log, observer, counters: storage.counters })
  await ops.register((context, _options, done) => {
    registerOps(context, { service, observer })
    registerResidency(context, { storage, dotfiles: config.dotfiles })
    done()
  })
  return ops
}

async function createServer(errors: ErrorsOptions): Promise<FastifyInstance> {
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
  registerErrors(server, errors)
  return server
}

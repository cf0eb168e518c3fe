/** The service put together: storage, metrics, and one or two Fastify instances. It never listens. */
import type { Socket } from 'node:net'
import sensible from '@fastify/sensible'
import fastify, { type FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { affordableFiles } from './config/descriptors.ts'
import { type Config, listsFolders } from './config/options.ts'
import { createDelivery } from './delivery/create-delivery.ts'
import type { Delivery } from './delivery/deliver.ts'
import { refusalFor } from './delivery/failure.ts'
import { FastPath } from './fast-path/fast-path.ts'
import type { AccessLogger } from './metrics/access-line.ts'
import { Activity } from './metrics/activity.ts'
import { latencyBounds } from './metrics/latency.ts'
import { Live, Traces } from './metrics/live.ts'
import { Observer } from './metrics/observer.ts'
import { Reader } from './metrics/reading.ts'
import { createMetrics, type Metrics, readMetrics } from './metrics/registry.ts'
import { SlowAnswers } from './metrics/slow.ts'
import { StallWatch } from './metrics/stalls.ts'
import { clientAddress } from './plugins/client-address.ts'
import { type CorsFields, registerCors } from './plugins/cors.ts'
import { type ErrorsOptions, registerErrors } from './plugins/errors.ts'
import { followAll } from './plugins/follow.ts'
import { registerOpsGuard } from './plugins/ops-guard.ts'
import { registerShedding } from './plugins/shedding.ts'
import { clientErrorHandler, registerStrictHttp } from './plugins/strict-http.ts'
import { optionsHandler, registerFiles, registerOtherMethods } from './routes/files.ts'
import { createListing, redirectToListing } from './routes/listing.ts'
import { type Processes, registerEvents, registerFileRows } from './routes/live.ts'
import { registerHealth, registerMetrics, type Service } from './routes/ops.ts'
import { registerPage } from './routes/page.ts'
import { Readiness } from './routes/readiness.ts'
import { registerResidency } from './routes/residency.ts'
import { refuseListing, serviceHost } from './routes/service-host.ts'
import { registerTry } from './routes/try.ts'
import { StorageError } from './storage/errors.ts'
import { FileList } from './storage/file-list.ts'
import { mapper } from './storage/native/mapping.ts'
import { pageBytes } from './storage/native/page-size.ts'
import { Pinning } from './storage/pinning.ts'
import { RowsResidency } from './storage/row-residency.ts'
import { openStorage } from './storage/storage.ts'
import { WarmUp } from './storage/warm-up.ts'

export interface App {
  /** serves the files; without an ops port also health and readiness; metrics with --public-ops on */
  readonly server: FastifyInstance
  /** serves operators; undefined without an ops port, and in a worker */
  readonly ops: FastifyInstance | undefined
  /** undefined with --fast-path off */
  readonly fastPath: FastPath | undefined
  readonly readiness: Readiness
  readonly metrics: Metrics
  /** what this process tells the ops port, wherever that is */
  readonly live: Live
}

/** What the parent of several workers has: no files to serve, but an ops port, if one is wanted. */
export type ParentApp = Omit<App, 'server' | 'fastPath' | 'live'> & {
  readonly warmUp: WarmUp
  readonly pinning: Pinning
  close(): void
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
 * @param whole the service that this process is one worker of; undefined: this process is the service
 * @throws the system's error when the root cannot be looked at
 */
export async function buildApp(
  config: Config,
  log: AccessLogger,
  version: string,
  whole?: Service
): Promise<App> {
  const core = await createCore(config, log, version, true)
  const { storage, metrics, observer, warmUp, pinning, readiness, traces } = core
  const stalls = new StallWatch(config.stallThresholdMs, log)
  const { counters, catalog } = storage
  const server = await createServer({ log, observer, counters })
  const cors = await registerCors(server, config, optionsHandler(observer))
  const delivery = createDelivery({
    ...config,
    storage,
    observer,
    stalls,
    log,
    sendsTiming: config.serverTiming === 'on',
    isTraced: (secret) => traces.isExpected(secret),
    commonFields: [
      'cache-control',
      config.cacheControl,
      'x-content-type-options',
      'nosniff',
      ...cors.always
    ]
  })
  let fastPath: FastPath | undefined
  // a context of its own: metrics and health are asked for most of all under overload
  await server.register((context, _options, done) => {
    const isShedding = registerShedding(context, config, { observer, counters })
    if (config.fastPath === 'on') {
      fastPath = createFastPath(server, { config, log, core, delivery, cors, isShedding })
    }
    const listing = listsFolders(config)
      ? createListing({ ...config, catalog, refuse: refuseListing })
      : undefined
    const host = serviceHost(cors, listing)
    // the hook of @fastify/cors has nothing to add
    const routeConfig = { cors: false } as const
    registerFiles(context, { ...config, catalog, delivery, observer, host, routeConfig })
    registerOtherMethods(context, config, observer)
    if (listing !== undefined) redirectToListing(context, config.prefix)
    done()
  })
  const service = whole ?? {
    metrics: () => readMetrics(metrics),
    whyNotReady: () => readiness.whyNot()
  }
  let ops: FastifyInstance | undefined
  // a context of its own: its hooks are not for the files
  await server.register((context, _options, done) => {
    followAll(context, observer)
    if (config.publicOps === 'on') registerMetrics(context, service)
    if (config.opsPort === undefined) registerHealth(context, service)
    done()
  })
  const live = createLive(server, core, `${config.prefix}*`)
  if (config.opsPort !== undefined && whole === undefined) {
    const processes: Processes = {
      ask: async (question) => [{ process: process.pid, answer: live.answer(question) }],
      filesAddress: () => {
        const address = server.server.address()
        return address === null || typeof address === 'string' ? undefined : reachable(address)
      }
    }
    ops = await createOps(config, log, core, { service, processes, version })
  }
  server.addHook('onListen', (done) => {
    stalls.start()
    startWarming(core, log)
    done()
  })
  server.addHook('onClose', () => {
    fastPath?.close()
    warmUp.stop()
    pinning.stop()
    stalls.close()
    storage.close()
  })
  return { server, ops, fastPath, readiness, metrics, live }
}

function createLive({ server }: FastifyInstance, core: Core, route: string): Live {
  let connections = 0
  server.on('connection', (socket) => {
    connections++
    socket.once('close', () => connections--)
  })
  const { storage, metrics, activity, slow, traces } = core
  const { firstByte } = metrics
  const reader = new Reader({ storage, firstByte, slow, route, connections: () => connections })
  return new Live({ storage, reader, activity, slow, traces })
}

/** Where this machine reaches what listens at an address: one that means all addresses is none to connect to. */
export function reachable({ address, port }: { address: string; port: number }): {
  readonly host: string
  readonly port: number
} {
  if (address === '0.0.0.0') return { host: '127.0.0.1', port }
  return { host: address === '::' ? '::1' : address, port }
}

/**
 * What the parent of workers serves itself. It opens files only to report their residency and to warm them,
 * which is for the page cache that all workers share.
 * @param whole all workers and the parent, as one
 * @throws the system's error when the root cannot be looked at
 */
export async function buildParentApp(
  config: Config,
  log: AccessLogger,
  version: string,
  whole: Service & Processes
): Promise<ParentApp> {
  const core = await createCore(config, log, version, false)
  const { storage, metrics, warmUp, pinning, readiness } = core
  const ops =
    config.opsPort === undefined
      ? undefined
      : await createOps(config, log, core, { service: whole, processes: whole, version })
  const close = () => {
    warmUp.stop()
    pinning.stop()
    storage.close()
  }
  return { ops, readiness, metrics, warmUp, pinning, close }
}

/** Not awaited: readiness tells how far warming is, and pinning goes on to the end. */
export function startWarming(
  { warmUp, pinning }: { readonly warmUp: WarmUp; readonly pinning: Pinning },
  log: Logger
): void {
  warmUp.run().catch((error: unknown) => log.error({ err: error }, 'warming failed'))
  pinning.run().catch((error: unknown) => log.error({ err: error }, 'pinning failed'))
}

type Core = Awaited<ReturnType<typeof createCore>>

/** What every process of the service has, whether it serves files or not. */
async function createCore(
  config: Config,
  log: AccessLogger,
  version: string,
  servesFiles: boolean
) {
  const maxOpenFiles = Math.min(config.maxOpenFiles, affordableFiles())
  const storage = await openStorage({ ...config, maxOpenFiles, isGuarded: config.guard === 'on' })
  const { mode, guard } = config
  const metrics = createMetrics(storage, { version, mode, guard, mapper, servesFiles })
  const activity = new Activity()
  const slow = new SlowAnswers(mode === 'mmap')
  const observer = new Observer({
    metrics,
    log,
    // without an ops port nobody can look at them
    ...(config.opsPort === undefined ? {} : { activity, slow }),
    logsAccess: config.accessLog === 'on',
    addressOf: clientAddress(config.trustProxy),
    withExemplars: config.exemplars === 'on'
  })
  const warmUp = new WarmUp(config, storage, log)
  const pinning = new Pinning(config, storage, log)
  const readiness = new Readiness(storage.catalog, warmUp)
  const traces = new Traces()
  return { storage, metrics, observer, warmUp, pinning, readiness, activity, slow, traces }
}

function createFastPath(
  { server }: FastifyInstance,
  {
    config,
    log,
    core,
    delivery,
    cors,
    isShedding
  }: {
    config: Config
    log: Logger
    core: Core
    delivery: Delivery
    cors: CorsFields
    isShedding: (socket: Socket) => boolean
  }
): FastPath {
  const { prefix, dotfiles } = config
  const { storage, metrics, observer } = core
  return new FastPath(server, {
    prefix,
    dotfiles,
    catalog: storage.catalog,
    delivery,
    route: `${prefix}*`,
    corsOf: cors.of,
    corsAlways: cors.always,
    isShedding,
    conclude: (exchange) => observer.conclude(exchange),
    refuse: (error) => {
      if (!(error instanceof StorageError)) return undefined
      // it may be a folder, which the application lists
      const isNothing = error.code === 'NOT_FOUND' && error.reason === 'ENOENT'
      if (error.code === 'NOT_FOUND' && !isNothing && listsFolders(config)) return undefined
      return refusalFor(error, { log, counters: storage.counters })
    },
    meet: (exchange, fields, address) => observer.meet(exchange, fields, address),
    logsAccess: observer.logsAccess,
    counters: metrics.fastPath,
    idleTimeoutMs,
    limits: { keepAliveTimeoutMs, headersTimeoutMs, checkIntervalMs }
  })
}

async function createOps(
  config: Config,
  log: Logger,
  { storage, observer }: Core,
  { service, processes, version }: { service: Service; processes: Processes; version: string }
): Promise<FastifyInstance> {
  const ops = await createServer({ log, observer, counters: storage.counters })
  registerOpsGuard(ops, { host: config.opsHost, token: config.opsToken, observer })
  const { root, prefix, dotfiles } = config
  const files = new FileList(config)
  const rows = await RowsResidency.open(config)
  const about = {
    version,
    node: process.versions.node,
    mode: config.mode,
    guard: config.guard,
    workers: config.workers,
    root,
    prefix,
    pageSize: pageBytes,
    windowBytes: config.windowBytes,
    startedAt: Date.now(),
    firstByteBounds: latencyBounds
  }
  const live = { service, processes, observer, about, files, rows }
  await ops.register((context, _options, done) => {
    followAll(context, observer)
    registerMetrics(context, service)
    registerHealth(context, service)
    registerResidency(context, { storage, dotfiles, processes })
    registerFileRows(context, live)
    registerTry(context, { processes, prefix })
    registerPage(context)
    done()
  })
  const feed = registerEvents(ops, live)
  ops.addHook('preClose', () => feed.close())
  ops.addHook('onClose', () => {
    files.close()
    rows.close()
  })
  return ops
}

function noSchemas(): never {
  throw new Error('a route has a schema, and there is no compiler for it')
}

async function createServer(errors: ErrorsOptions): Promise<FastifyInstance> {
  const server = fastify({
    // Fastify's own logger costs a child and two listeners for each request, a tenth of all small hot
    // requests; what we log, we log ourselves.
    logger: false,
    // No route here has a schema. Without these, the compilers of schemas are loaded at each start.
    schemaController: {
      compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas }
    },
    connectionTimeout: idleTimeoutMs,
    keepAliveTimeout: keepAliveTimeoutMs,
    requestTimeout: 2 * headersTimeoutMs,
    forceCloseConnections: 'idle',
    clientErrorHandler: clientErrorHandler(errors.observer),
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
  registerStrictHttp(server, errors.observer)
  return server
}

/** The process: options in, service up, signals out. Alone calls process.exit. */

// Before anything can start libuv's thread pool: its 4 threads are fewer than a handful of cold readers keep
// busy on a slow disk, and then nobody else's file can be opened. See storage-queue.ts for who gets how many.
process.env.UV_THREADPOOL_SIZE ??= '32'

import cluster from 'node:cluster'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import type { FastifyInstance } from 'fastify'
import pino, { type Logger } from 'pino'
import { buildApp, buildParentApp, startWarming } from './app.ts'
import { ConfigError, readCommand } from './config/command-line.ts'
import type { Config } from './config/options.ts'
import { packageVersion, sampleFolder } from './config/package.ts'
import { readMetrics } from './metrics/registry.ts'
import { closeOps, drainer, drainToTheLastByte, shutDownOn } from './process/shutdown.ts'
import { ParentLink } from './process/worker.ts'
import { Workers } from './process/workers.ts'
import type { Service } from './routes/ops.ts'
import { systemCode } from './storage/errors.ts'

void main()

async function main(): Promise<void> {
  const config = configOrExit()
  const log = pino({ level: config.logLevel })
  process.on('uncaughtException', (error) => {
    // Half alive is worse than gone: whoever watches over the process starts it again.
    log.fatal({ err: error }, 'uncaught error')
    process.exit(1)
  })
  if (cluster.isWorker) return runWorker(config, log)
  if (config.mode === 'mmap' && config.guard === 'off') {
    log.warn('--guard off: one cold page stops every connection; for experiments only')
  }
  if (config.workers > 1) await runParent(config, log)
  else await runAlone(config, log)
}

/** The service as one process. */
async function runAlone(config: Config, log: Logger): Promise<void> {
  const app = await buildApp(config, log, packageVersion())
  const drain = drainToTheLastByte(
    drainer(app, config.shutdownTimeoutMs, log),
    () => (app.server.server.address() as AddressInfo | null)?.port, // it listens on TCP
    config.shutdownTimeoutMs
  )
  shutDownOn(['SIGTERM', 'SIGINT'], log, drain)
  const opsUrl = await listenForOps(app.ops, config)
  const origin = await listen(app.server, config.host, config.port).catch(exitWithLine)
  tellListening(config, log, origin + config.prefix, opsUrl)
}

/** The service as several processes: this one serves no files. */
async function runParent(config: Config, log: Logger): Promise<void> {
  const service: Service = {
    metrics: () => workers.metrics(() => readMetrics(app.metrics)),
    whyNotReady: async () => {
      if (!haveAllServed) return 'workers are starting'
      // One that is being replaced makes nobody unready: the others take its connections.
      return workers.serving === 0 ? 'no worker is up' : await app.readiness.whyNot()
    }
  }
  let haveAllServed = false
  let port: number | undefined
  const app = await buildParentApp(config, log, packageVersion(), service)
  const workers = new Workers({ count: config.workers, log, service })
  const drainWorkers = drainToTheLastByte(
    () => workers.drain(config.shutdownTimeoutMs),
    () => port,
    config.shutdownTimeoutMs
  )
  const drain = async () => {
    app.readiness.drain()
    await drainWorkers()
    // last, so that probes and scrapers see it drain
    await closeOps(app.ops)
    app.close()
  }
  shutDownOn(['SIGTERM', 'SIGINT'], log, drain, () => workers.kill())
  const opsUrl = await listenForOps(app.ops, config)
  port = config.port === 0 ? await freePort(config.host) : config.port
  const url = await workers.start(port).catch(exitWithLine)
  haveAllServed = true
  startWarming(app.warmUp, log)
  tellListening(config, log, url, opsUrl)
}

/** One of several: it serves files, and its parent does the rest. */
async function runWorker(config: Config, log: Logger): Promise<void> {
  const parent = new ParentLink()
  const service: Service = {
    metrics: () => parent.metrics(),
    whyNotReady: async () => (isDraining ? 'draining' : await parent.whyNotReady())
  }
  // the page cache is everybody's: it is warmed once, by the parent
  const app = await buildApp({ ...config, warm: [] }, log, packageVersion(), service)
  const drainApp = drainer(app, config.shutdownTimeoutMs, log)
  const report = async () =>
    parent.send({ kind: 'metrics', metrics: await readMetrics(app.metrics) })
  let isDraining = false
  const drain = async () => {
    if (isDraining) return
    isDraining = true
    await drainApp()
    await report()
    process.exit(0)
  }
  // Ctrl-C and systemd signal every process of the group, and then the parent asks as well: that is one wish.
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => void drain())
  parent.listen({ report: () => void report(), drain: () => void drain() })
  try {
    const origin = await listen(app.server, config.host, config.port)
    await parent.send({ kind: 'listening', url: origin + config.prefix })
  } catch (error) {
    if (!(error instanceof CannotListen)) throw error
    await parent.send({ kind: 'failed', line: error.message })
    process.exit(1)
  }
}

function tellListening(
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

function configOrExit(): Config {
  try {
    const command = readCommand(process.argv.slice(2), process.env, packageVersion())
    if (command.kind === 'serve') return command.config
    process.stdout.write(`${command.text}\n`)
    process.exit(0)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(2)
  }
}

function listenForOps(
  ops: FastifyInstance | undefined,
  { host, opsPort }: Config
): Promise<string | undefined> {
  if (ops === undefined || opsPort === undefined) return Promise.resolve(undefined)
  return listen(ops, host, opsPort).catch(exitWithLine)
}

/** The message is a line for the user. */
class CannotListen extends Error {}

/**
 * @returns the origin, such as http://127.0.0.1:8080
 * @throws CannotListen
 */
async function listen(server: FastifyInstance, host: string, port: number): Promise<string> {
  try {
    return await server.listen({ host, port })
  } catch (error) {
    throw cannotListen(error, host, port)
  }
}

/** @returns a port that nobody listens on now */
async function freePort(host: string): Promise<number> {
  const server = createServer()
  server.listen({ host, port: 0 })
  await once(server, 'listening').catch((error: unknown) =>
    exitWithLine(cannotListen(error, host, 0))
  )
  const { port } = server.address() as AddressInfo // it listens on TCP
  server.close()
  await once(server, 'close')
  return port
}

function cannotListen(error: unknown, host: string, port: number): CannotListen {
  const why: Record<string, string> = {
    EADDRINUSE: 'the port is taken',
    EACCES: 'this user may not use the port',
    EADDRNOTAVAIL: 'this machine has no such address',
    ENOTFOUND: 'the host name is unknown'
  }
  const code = systemCode(error) ?? 'unknown error'
  return new CannotListen(`cannot listen on ${host}:${port}: ${why[code] ?? code}`)
}

function exitWithLine(error: Error): never {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
}

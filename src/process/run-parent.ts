/** The service as several processes: this one serves no files, it keeps the workers that do. */
import { buildParentApp, reachable, startWarming } from '../app.ts'
import type { Config } from '../config/options.ts'
import { packageVersion } from '../config/package.ts'
import { countLogLines } from '../metrics/log-lines.ts'
import { reportMetrics } from '../metrics/registry.ts'
import type { Processes } from '../routes/live.ts'
import type { Service } from '../routes/ops.ts'
import { listenForOps, logListening } from './listen.ts'
import type { Output } from './log.ts'
import { claimPort, type PortClaim } from './shared-port.ts'
import { closeOps, drainToTheLastByte, endOnSignal } from './shutdown.ts'
import { Workers } from './workers.ts'

/**
 * @returns the exit status, after a signal
 * @throws CannotServe
 */
export async function runParent(config: Config, { log, counts }: Output): Promise<number> {
  const service: Service & Processes = {
    metrics: () => workers.metrics(() => reportMetrics(app.metrics)),
    whyNotReady: async () => {
      if (!haveAllServed) return 'workers are starting'
      // One that is being replaced does not make the service unready: the others take its connections.
      return workers.serving === 0 ? 'no worker is up' : await app.readiness.whyNot()
    },
    ask: (question) => workers.ask(question),
    filesAddress: () => claim && reachable({ address: config.host, port: claim.port })
  }
  let haveAllServed = false
  let claim: PortClaim | undefined
  const app = await buildParentApp(config, log, packageVersion(), service)
  countLogLines(app.metrics, counts)
  const workers = new Workers({ count: config.workers, log, service })
  const drainWorkers = drainToTheLastByte(
    () => workers.drain(config.shutdownTimeoutMs),
    () => claim?.port,
    config.shutdownTimeoutMs
  )
  const drain = async () => {
    app.readiness.drain()
    claim?.release()
    await drainWorkers()
    // last, so that probes and scrapers see it drain
    await closeOps(app.ops)
    app.close()
  }
  const start = async () => {
    const opsUrl = await listenForOps(app.ops, config)
    claim = await claimPort(config.host, config.port)
    const url = await workers.start(claim.port)
    haveAllServed = true
    startWarming(app, log)
    logListening(config, log, url, opsUrl)
  }
  const ended = endOnSignal(log, drain, () => workers.kill())
  await Promise.race([start(), ended]) // a signal may come first
  return ended
}

/** The service as one process. */
import type { AddressInfo } from 'node:net'
import { buildApp } from '../app.ts'
import type { Config } from '../config/options.ts'
import { packageVersion } from '../config/package.ts'
import { countLogLines } from '../metrics/log-lines.ts'
import { acceptMore } from './accept-more.ts'
import { listen, listenForOps, logListening } from './listen.ts'
import type { Output } from './log.ts'
import { drainer, drainToTheLastByte, endOnSignal } from './shutdown.ts'

/**
 * @returns the exit status, after a signal
 * @throws CannotServe
 */
export async function runAlone(config: Config, { log, counts }: Output): Promise<number> {
  const app = await buildApp(config, log, packageVersion())
  countLogLines(app.metrics, counts)
  acceptMore(app.server.server, config.maxConnections)
  const drain = drainToTheLastByte(
    drainer(app, config.shutdownTimeoutMs, log),
    () => (app.server.server.address() as AddressInfo | null)?.port, // it listens on TCP
    config.shutdownTimeoutMs
  )
  const start = async () => {
    const opsUrl = await listenForOps(app.ops, config)
    const origin = await listen(app.server, config.host, config.port)
    logListening(config, log, origin + config.prefix, opsUrl)
  }
  const ended = endOnSignal(log, drain)
  await Promise.race([start(), ended]) // a signal may come first
  return ended
}

/** One of several processes: it serves files, and its parent does the rest. */
import { type App, buildApp } from '../app.ts'
import type { Config } from '../config/options.ts'
import { packageVersion } from '../config/package.ts'
import { countLogLines } from '../metrics/log-lines.ts'
import { reportMetrics } from '../metrics/registry.ts'
import type { Service } from '../routes/ops.ts'
import { acceptMore } from './accept-more.ts'
import { CannotServe } from './cannot-serve.ts'
import { listen } from './listen.ts'
import type { Output } from './log.ts'
import { canReusePort } from './shared-port.ts'
import { drainer, endSignals } from './shutdown.ts'
import { ParentLink } from './worker.ts'

/** @returns the exit status, after a signal or when the parent asks for the end */
export async function runWorker(config: Config, { log, counts }: Output): Promise<number> {
  const parent = new ParentLink()
  const service: Service = {
    metrics: () => parent.metrics(),
    whyNotReady: async () => (isDraining ? 'draining' : await parent.whyNotReady())
  }
  // all processes share the page cache: it is warmed, and files are pinned, once, by the parent
  const app = await buildApp({ ...config, warm: [], pin: [] }, log, packageVersion(), service)
  countLogLines(app.metrics, counts)
  acceptMore(app.server.server, config.maxConnections)
  const drainApp = drainer(app, config.shutdownTimeoutMs, log)
  let isDraining = false
  const ended = new Promise<number>((resolve, reject) => {
    const drain = async () => {
      // Ctrl-C and systemd signal every process of the group, and then the parent asks as well
      if (isDraining) return
      isDraining = true
      await drainApp()
      await report(parent, app)
      resolve(0)
    }
    const drainOrFail = () => void drain().catch(reject)
    for (const signal of endSignals) process.on(signal, drainOrFail)
    parent.listen({
      report: () => void report(parent, app),
      drain: drainOrFail,
      answer: (question) => app.live.answer(question)
    })
  })
  const start = async () => {
    const origin = await listen(app.server, config.host, config.port, {
      reusePort: canReusePort()
    })
    await parent.send({ kind: 'listening', url: origin + config.prefix })
  }
  try {
    await Promise.race([start(), ended]) // a signal may come first
    return await ended
  } catch (error) {
    if (!(error instanceof CannotServe)) throw error
    // the parent says it, once for all workers
    await parent.send({ kind: 'failed', line: error.message })
    return 1
  }
}

async function report(parent: ParentLink, { metrics }: App): Promise<void> {
  await parent.send({ kind: 'metrics', metrics: await reportMetrics(metrics) })
}

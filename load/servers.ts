/** A server for each trial, whichever mode is measured. */
import type { Mode, Server, Start } from '#src/advise/modes.ts'
import { startService } from '#src/advise/service.ts'
import { startPeer } from './peers.ts'

/** @throws Error when it does not come up */
export function startServer(mode: Mode, start: Start): Promise<Server> {
  if (mode.url !== undefined) return alreadyRunning(mode.url)
  if (mode.args !== undefined) return startService(mode.name, mode.args, start)
  return startPeer(mode.name, start)
}

async function alreadyRunning(url: string): Promise<Server> {
  const metricsUrl = new URL('/metrics', url).href
  const isOurs = await fetch(metricsUrl, { signal: AbortSignal.timeout(2000) })
    .then(async (answer) => answer.ok && (await answer.text()).includes('range_server_info'))
    .catch(() => false)
  return {
    filesUrl: new URL('.', url).href,
    metricsUrl: isOurs ? metricsUrl : undefined,
    pid: undefined,
    signal: () => undefined,
    stop: async () => {}
  }
}

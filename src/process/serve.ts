/** The service as a process, from its log to its exit status: alone, as the parent of workers, or as a worker. */
import cluster from 'node:cluster'
import type { Logger } from 'pino'
import type { Config } from '../config/options.ts'
import { CannotServe } from './cannot-serve.ts'
import { type Output, openLog } from './log.ts'
import { runAlone } from './run-alone.ts'
import { runParent } from './run-parent.ts'
import { runWorker } from './run-worker.ts'
import { isForPeople, lineForPeople } from './text-line.ts'

/** @returns the status with which the process must exit, at once */
export async function serve(config: Config): Promise<number> {
  const output = openLog(config.logLevel, 1, isForPeople(config) ? lineForPeople() : undefined)
  const { log } = output
  const uncaught = new Promise<number>((resolve) => {
    process.on('uncaughtException', (error) => resolve(die(error, log)))
  })
  const ended = run(config, output).catch((error: unknown) => {
    if (!(error instanceof CannotServe)) return die(error, log)
    process.stderr.write(`${error.message}\n`)
    return 1
  })
  const status = await Promise.race([ended, uncaught])
  await output.end()
  return status
}

function run(config: Config, output: Output): Promise<number> {
  if (cluster.isWorker) return runWorker(config, output)
  if (config.mode === 'mmap' && config.guard === 'off') {
    output.log.warn('--guard off: one cold page stops every connection; for experiments only')
  }
  return config.workers > 1 ? runParent(config, output) : runAlone(config, output)
}

/** After an uncaught error the state of the process is unknown. It ends, and its supervisor starts it again. */
function die(error: unknown, log: Logger): number {
  log.fatal({ err: error }, 'uncaught error')
  return 1
}

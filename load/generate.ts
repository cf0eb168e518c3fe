/** Has a load made by a process of its own. */
import path from 'node:path'
import { launchLoad } from '#src/advise/processes.ts'
import type { Job, LoadResult, Progress } from './job.ts'

/** What a generator sends: what it sees meanwhile, and at the end one of the others. */
interface Message {
  /** the measured part begins when it is told to */
  readonly isWarm?: true
  readonly progress?: Progress
  readonly result?: LoadResult
  readonly error?: string
}

/**
 * @param tell hears of the load while it runs
 * @param onWarm runs between a warm-up on another file and what is measured
 * @throws Error when it could not be made; answers that fail are counted
 */
export function generate(
  job: Job,
  tell: (progress: Progress) => void = () => {},
  onWarm: () => Promise<void> = async () => {}
): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const child = launchLoad(path.join(__dirname, 'generator.js'))
    child.on('message', ({ isWarm, progress, result, error }: Message) => {
      if (isWarm) onWarm().then(() => child.send('go'), reject)
      else if (progress !== undefined) tell(progress)
      else if (result === undefined) reject(new Error(`the load failed: ${error}`))
      else resolve(result)
    })
    child.once('error', reject)
    child.once('exit', (code, signal) =>
      reject(new Error(`the load generator ended early (${code ?? signal})`))
    )
    child.send(job)
  })
}

/** Has a load made by a process of its own. */
import path from 'node:path'
import type { Job, LoadResult } from './job.ts'
import { launchLoad } from './processes.ts'

/** @throws Error when it could not be made; answers that fail are counted */
export function generate(job: Job): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const child = launchLoad(path.join(__dirname, 'generator.js'))
    child.once('message', ({ result, error }: { result?: LoadResult; error?: string }) => {
      if (result === undefined) reject(new Error(`the load failed: ${error}`))
      else resolve(result)
    })
    child.once('error', reject)
    child.once('exit', (code, signal) =>
      reject(new Error(`the load generator ended early (${code ?? signal})`))
    )
    child.send(job)
  })
}

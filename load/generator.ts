/** The process that makes one load: it takes a job from its parent, and gives back the result. */
import { drive } from './drive.ts'
import type { Job } from './job.ts'

process.once('message', (job: Job) => {
  drive(job, (progress) => process.send?.({ progress })).then(
    (result) => process.send?.({ result }, () => process.exit(0)),
    (error: unknown) => process.send?.({ error: String(error) }, () => process.exit(1))
  )
})
// the parent is gone
process.once('disconnect', () => process.exit(1))

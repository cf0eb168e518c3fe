/** The process that makes one load: it takes a job from its parent, and gives back the result. */
import { drive } from './drive.ts'
import type { Job } from './job.ts'

process.once('message', (job: Job) => {
  const warm = () =>
    new Promise<void>((resolve) => {
      process.once('message', () => resolve())
      process.send?.({ isWarm: true })
    })
  drive(job, (progress) => process.send?.({ progress }), warm).then(
    (result) => process.send?.({ result }, () => process.exit(0)),
    (error: unknown) => process.send?.({ error: String(error) }, () => process.exit(1))
  )
})
// the parent is gone
process.once('disconnect', () => process.exit(1))

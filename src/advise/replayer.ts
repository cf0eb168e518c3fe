/** The process that replays: it takes a job from its parent, and gives back the result. */
import { type ReplayJob, replay } from './replay.ts'

process.once('message', (job: ReplayJob) => {
  const warm = () =>
    new Promise<void>((resolve) => {
      process.once('message', () => resolve())
      process.send?.({ isWarm: true })
    })
  replay(job, warm).then(
    (result) => process.send?.({ result }, () => process.exit(0)),
    (error: Error) => process.send?.({ error: error.message }, () => process.exit(1))
  )
})
// the parent is gone
process.once('disconnect', () => process.exit(1))

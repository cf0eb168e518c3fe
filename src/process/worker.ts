/** The worker's end of the messages between parent and workers: it answers, asks, and ends when it is told to. */
import type { Question, Questions } from '../metrics/live.ts'
import type { MetricJson, MetricReport } from '../metrics/sum.ts'
import type { Service } from '../routes/ops.ts'

/** Messages of a worker. */
export type FromWorker =
  | { readonly kind: 'listening'; readonly url: string }
  /** it cannot serve, and no other worker could; `line` is for the user */
  | { readonly kind: 'failed'; readonly line: string }
  /** asked for, or its last */
  | { readonly kind: 'metrics'; readonly metrics: readonly MetricReport[] }
  /** to a question of the parent */
  | {
      readonly kind: 'told'
      readonly id: number
      readonly answer: Questions[keyof Questions]['answer']
    }
  /** about the whole service */
  | { readonly kind: 'ask'; readonly id: number; readonly about: 'metrics' | 'readiness' }

/** Messages of the parent. */
export type FromParent =
  | { readonly kind: 'report metrics' }
  | { readonly kind: 'drain' }
  /** about this worker alone */
  | { readonly kind: 'question'; readonly id: number; readonly question: Question }
  | { readonly kind: 'metrics'; readonly id: number; readonly metrics: readonly MetricJson[] }
  | { readonly kind: 'readiness'; readonly id: number; readonly whyNot: string | undefined }

type Answer = Extract<FromParent, { kind: 'metrics' | 'readiness' }>

/** Without an ops port each worker is asked about the whole service, and only the parent knows. */
export class ParentLink implements Service {
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #lastId = 0

  /** @param on what to do when the parent asks for this worker's metrics, for its end, and for anything else */
  listen(on: {
    report: () => void
    drain: () => void
    answer: (question: Question) => Questions[keyof Questions]['answer']
  }): void {
    process.on('message', (message: FromParent) => {
      if (message.kind === 'report metrics') on.report()
      else if (message.kind === 'drain') on.drain()
      else if (message.kind === 'question') {
        void this.send({ kind: 'told', id: message.id, answer: on.answer(message.question) })
      } else {
        this.#waiting.get(message.id)?.(message)
        this.#waiting.delete(message.id)
      }
    })
  }

  /** @returns when the message is on its way; a parent that is gone is no error, for then this process ends too */
  send(message: FromWorker): Promise<void> {
    return new Promise((resolve) => {
      if (process.send === undefined || !process.connected) return resolve()
      process.send(message, undefined, {}, () => resolve())
    })
  }

  async metrics(): Promise<readonly MetricJson[]> {
    const answer = await this.#ask('metrics')
    return answer.kind === 'metrics' ? answer.metrics : []
  }

  async whyNotReady(): Promise<string | undefined> {
    const answer = await this.#ask('readiness')
    return answer.kind === 'readiness' ? answer.whyNot : undefined
  }

  #ask(about: 'metrics' | 'readiness'): Promise<Answer> {
    const id = ++this.#lastId
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve)
      void this.send({ kind: 'ask', id, about })
    })
  }
}

/** What one process that serves files tells the ops port of the service, which may be another process. */
import type { Storage } from '../storage/storage.ts'
import type { Activity } from './activity.ts'
import type { FileActivity, Reading, SlowAnswer } from './live-types.ts'
import type { Reader } from './reading.ts'
import type { SlowAnswers } from './slow.ts'

/** What can be asked, and the answers. Both go from process to process as JSON. */
export interface Questions {
  readonly reading: { readonly asks: undefined; readonly answer: Reading }
  readonly slow: { readonly asks: undefined; readonly answer: readonly SlowAnswer[] }
  /** of some files, in their order */
  readonly activity: { readonly asks: readonly string[]; readonly answer: readonly FileActivity[] }
  /** paths of files, those of which most was asked first */
  readonly busiest: {
    readonly asks: 'requests' | 'bytes'
    readonly answer: readonly FileActivity[]
  }
  /** a file's pages are to leave memory: this process forgets that it has touched them */
  readonly untouch: { readonly asks: string; readonly answer: true }
  /** a request that carries this text is to tell what it cost */
  readonly trace: { readonly asks: string; readonly answer: true }
}

export type About = keyof Questions

export interface Question<A extends About = About> {
  readonly about: A
  readonly asks: Questions[A]['asks']
}

/** What one process answered; undefined: it was too late. */
export interface AnswerOf<A extends About> {
  readonly process: number
  readonly answer: Questions[A]['answer'] | undefined
}

// Files of one process that are told by how much was asked of them.
const mostBusiest = 1000

export interface LiveOptions {
  readonly storage: Storage
  readonly reader: Reader
  readonly activity: Activity
  readonly slow: SlowAnswers
  readonly traces: Traces
}

export class Live {
  readonly #answers: {
    readonly [A in About]: (asks: Questions[A]['asks']) => Questions[A]['answer']
  }

  constructor({ storage, reader, activity, slow, traces }: LiveOptions) {
    const { catalog, regions } = storage
    const activityOf = (path: string): FileActivity => ({
      ...(activity.of(path) ?? { path, requests: 0, bytes: 0, recent: [], heat: [] }),
      isOpen: catalog.peek(path) !== undefined
    })
    this.#answers = {
      reading: () => reader.read(),
      slow: () => slow.latest,
      activity: (paths) => paths.map(activityOf),
      busiest: (by) => activity.busiest(by, mostBusiest).map(activityOf),
      untouch: (path) => {
        const file = catalog.peek(path)
        if (file !== undefined) regions.untouchAll(file.regions)
        return true
      },
      trace: (text) => {
        traces.expect(text)
        return true
      }
    }
  }

  answer<A extends About>({ about, asks }: Question<A>): Questions[A]['answer'] {
    return this.#answers[about](asks)
  }
}

// A request comes right after it was announced, and may take its time.
const expectedMs = 60_000

/**
 * Requests of the live page itself, which are told what they cost. They are announced one by one with a secret, so that
 * no client can ask for it.
 */
export class Traces {
  readonly #expected = new Set<string>()

  expect(secret: string): void {
    this.#expected.add(secret)
    setTimeout(() => this.#expected.delete(secret), expectedMs).unref()
  }

  isExpected(secret: string | string[]): boolean {
    return typeof secret === 'string' && this.#expected.has(secret)
  }
}

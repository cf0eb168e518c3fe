/**
 * The parent's side of `--workers`: as many processes as were asked for, one in the place of each that dies,
 * and their metrics. The workers share a port: see shared-port.ts.
 */
import cluster, { type Worker } from 'node:cluster'
import type { Logger } from 'pino'
import type { About, AnswerOf, Question, Questions } from '../metrics/live.ts'
import { type MetricJson, type MetricReport, WorkerMetrics } from '../metrics/sum.ts'
import type { Service } from '../routes/ops.ts'
import { SharedWork } from '../storage/shared-work.ts'
import { CannotServe } from './cannot-serve.ts'
import type { FromParent, FromWorker } from './worker.ts'

// A worker that lived this long is not in a crash loop.
const steadyAfterMs = 10_000
const firstDelayMs = 100
const longestDelayMs = 10_000
// A worker whose event loop is stalled: its numbers of before are taken.
const reportTimeoutMs = 1000
// How much of its counters a worker can take with it when it is killed between two scrapes.
const reportEveryMs = 5000
// What a worker that drains may take longer than its own timeout, before it is killed.
const drainGraceMs = 2000

export interface WorkersOptions {
  readonly count: number
  readonly log: Logger
  /** the parent's answer about the whole service, for a worker that is asked */
  readonly service: Service
}

interface Place {
  worker: Worker
  isServing: boolean
  forkedAtMs: number
  quickDeaths: number
  /** pending report */
  reported: () => void
  /** pending questions, by their number; told undefined when the worker is gone */
  readonly asked: Map<number, (answer: Questions[About]['answer'] | undefined) => void>
}

export class Workers {
  readonly #options: WorkersOptions
  readonly #places: Place[] = []
  readonly #metrics = new WorkerMetrics()
  readonly #timer: NodeJS.Timeout
  #started: { url(url: string): void; fail(line: string): void } | undefined
  #isEnding = false
  // however many scrapes there are at once; one that comes while a worker is waited for gets the next collection
  readonly #collection = new SharedWork(() => this.#collect())
  #lastQuestion = 0

  constructor(options: WorkersOptions) {
    this.#options = options
    this.#timer = setInterval(() => void this.#collection.ask(), reportEveryMs).unref()
  }

  /** How many serve now. */
  get serving(): number {
    return this.#places.filter(({ isServing }) => isServing).length
  }

  /**
   * @param port on which they listen; never 0: a later one must find the same
   * @returns where they all listen, as soon as all do
   * @throws CannotServe when one of them cannot start
   */
  start(port: number): Promise<string> {
    cluster.setupPrimary({ args: argumentsOfWorker(process.argv.slice(2), port) })
    return new Promise((resolve, reject) => {
      this.#started = {
        url: (url) => {
          this.#started = undefined
          resolve(url)
        },
        fail: (line) => {
          this.#started = undefined
          this.kill()
          reject(new CannotServe(line))
        }
      }
      for (let i = 0; i < this.#options.count; i++) this.#places.push(this.#fork())
    })
  }

  /** The metrics of all workers, of those that are gone, and of the parent itself, summed. */
  async metrics(own: () => Promise<readonly MetricReport[]>): Promise<readonly MetricJson[]> {
    await this.#collection.ask()
    return this.#metrics.total(await own())
  }

  /** Asks all that serve. Who does not answer within a second, as in a stall, has no answer. */
  ask<A extends About>(question: Question<A>): Promise<readonly AnswerOf<A>[]> {
    const serving = this.#places.filter(({ isServing }) => isServing)
    return Promise.all(
      serving.map(async (place) => ({
        process: place.worker.id,
        // it answers what it was asked
        answer: (await this.#askOne(place, question)) as Questions[A]['answer'] | undefined
      }))
    )
  }

  #askOne(place: Place, question: Question): Promise<Questions[About]['answer'] | undefined> {
    const id = ++this.#lastQuestion
    return new Promise((resolve) => {
      const told = (answer: Questions[About]['answer'] | undefined) => {
        clearTimeout(timer)
        place.asked.delete(id)
        resolve(answer)
      }
      const timer = setTimeout(told, reportTimeoutMs, undefined)
      place.asked.set(id, told)
      send(place.worker, { kind: 'question', id, question })
    })
  }

  /** Lets running responses end. @param timeoutMs after which each worker cuts its own */
  async drain(timeoutMs: number): Promise<void> {
    this.#isEnding = true
    clearInterval(this.#timer)
    const gone = this.#places.map(({ worker, isServing }) => {
      if (worker.isDead()) return Promise.resolve()
      const exit = new Promise<void>((resolve) => worker.once('exit', () => resolve()))
      if (isServing) send(worker, { kind: 'drain' })
      else worker.process.kill('SIGKILL')
      return exit
    })
    const tooLong = setTimeout(() => this.kill(), timeoutMs + drainGraceMs)
    await Promise.all(gone)
    clearTimeout(tooLong)
  }

  /** Ends all at once, whatever they do. */
  kill(): void {
    this.#isEnding = true
    for (const { worker } of this.#places) worker.process.kill('SIGKILL')
  }

  #fork(quickDeaths = 0): Place {
    const worker = cluster.fork()
    const place: Place = {
      worker,
      isServing: false,
      forkedAtMs: performance.now(),
      quickDeaths,
      reported: () => {},
      asked: new Map()
    }
    worker.on('message', (message: FromWorker) => this.#hear(place, message))
    // a message to a worker that is just dying; its exit is what counts
    worker.on('error', (error) => this.#options.log.debug({ err: error }, 'a message was lost'))
    worker.on('exit', (code, signal) => this.#replace(place, code, signal))
    return place
  }

  #hear(place: Place, message: FromWorker): void {
    const { worker } = place
    if (message.kind === 'metrics') {
      if (this.#places.includes(place)) this.#metrics.set(worker.id, message.metrics)
      place.reported()
    } else if (message.kind === 'told') {
      place.asked.get(message.id)?.(message.answer)
    } else if (message.kind === 'ask') {
      void this.#answer(worker, message)
    } else if (message.kind === 'failed') {
      if (this.#started === undefined)
        this.#options.log.error({ worker: worker.process.pid }, message.line)
      this.#started?.fail(message.line)
    } else {
      place.isServing = true
      if (this.serving === this.#options.count) this.#started?.url(message.url)
    }
  }

  async #answer(worker: Worker, { id, about }: FromWorker & { kind: 'ask' }): Promise<void> {
    const { service } = this.#options
    if (about === 'metrics') send(worker, { kind: about, id, metrics: await service.metrics() })
    else send(worker, { kind: about, id, whyNot: await service.whyNotReady() })
  }

  #replace(place: Place, code: number | null, signal: string | null): void {
    place.isServing = false
    place.reported()
    for (const told of place.asked.values()) told(undefined)
    this.#metrics.end(place.worker.id)
    if (this.#isEnding) return
    const how = signal ?? `exit status ${code}`
    if (this.#started !== undefined) {
      this.#started.fail(`a worker ended before it could serve: ${how}`)
      return
    }
    const isQuick = performance.now() - place.forkedAtMs < steadyAfterMs
    const quickDeaths = isQuick ? place.quickDeaths + 1 : 0
    const delayMs = restartDelayMs(quickDeaths)
    const details = { worker: place.worker.process.pid, code, signal, delayMs }
    this.#options.log.error(details, 'a worker ended; another takes its place')
    const index = this.#places.indexOf(place)
    setTimeout(() => {
      if (!this.#isEnding) this.#places[index] = this.#fork(quickDeaths)
    }, delayMs)
  }

  /** Every worker's numbers; of one that does not answer in time, those of before. */
  async #collect(): Promise<void> {
    const serving = this.#places.filter(({ isServing }) => isServing)
    const reports = serving.map((place) => {
      return new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, reportTimeoutMs)
        place.reported = () => {
          clearTimeout(timer)
          resolve()
        }
        send(place.worker, { kind: 'report metrics' })
      })
    })
    await Promise.all(reports)
  }
}

/**
 * The parent's own words, with another port: the last one counts, but not behind `--`, where no more options are.
 * @param argv the words after the program's name
 */
export function argumentsOfWorker(argv: readonly string[], port: number): string[] {
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length
  return [...argv.slice(0, end), `--port=${port}`, ...argv.slice(end)]
}

/**
 * How long to wait with the next process in the place of one that died: not at all after a single death, and
 * ever longer while they die soon after their start.
 * @param quickDeaths deaths in a row, each soon after its start
 * @returns milliseconds
 */
export function restartDelayMs(quickDeaths: number): number {
  if (quickDeaths <= 1) return 0
  return Math.min(longestDelayMs, firstDelayMs * 2 ** (quickDeaths - 2))
}

function send(worker: Worker, message: FromParent): void {
  if (worker.isConnected()) worker.send(message, () => {})
}

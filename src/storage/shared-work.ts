/** One result for all callers that ask for the same work at the same time. */

interface Run<T> {
  readonly result: Promise<T>
  readonly abort: AbortController
  interested: number
  hasBegun: boolean
}

/**
 * Work of which one run serves many callers. A caller that asks while it runs gets the result of the next run,
 * which begins after the call: an older result may describe what is no longer so. So there are two runs at the
 * most, however many callers there are, and one at a time.
 */
export class SharedWork<T> {
  readonly #work: (signal: AbortSignal) => Promise<T>
  readonly #whenIdle: () => void
  #running: Run<T> | undefined
  #next: Run<T> | undefined

  /**
   * @param work its signal is aborted when no caller waits for the result any more
   * @param whenIdle called when a run has ended and no other follows
   */
  constructor(work: (signal: AbortSignal) => Promise<T>, whenIdle: () => void = ignore) {
    this.#work = work
    this.#whenIdle = whenIdle
  }

  get isIdle(): boolean {
    return this.#running === undefined
  }

  /** @throws what the work throws; the reason of `signal` when it is aborted before */
  ask(signal?: AbortSignal): Promise<T> {
    if (this.#running === undefined) {
      this.#running = this.#start(Promise.resolve())
      return this.#join(this.#running, signal)
    }
    const { hasBegun, abort } = this.#running
    if (!hasBegun && !abort.signal.aborted) return this.#join(this.#running, signal)
    this.#next ??= this.#start(this.#running.result.then(ignore, ignore))
    return this.#join(this.#next, signal)
  }

  #start(turn: Promise<void>): Run<T> {
    const abort = new AbortController()
    const result = turn.then(() => {
      abort.signal.throwIfAborted()
      run.hasBegun = true
      return this.#work(abort.signal)
    })
    const run: Run<T> = { result, abort, interested: 0, hasBegun: false }
    const end = () => {
      if (this.#running !== run) return
      this.#running = this.#next
      this.#next = undefined
      if (this.#running === undefined) this.#whenIdle()
    }
    result.then(end, end)
    return run
  }

  #join(run: Run<T>, signal: AbortSignal | undefined): Promise<T> {
    run.interested++
    if (signal === undefined) return run.result
    return new Promise((resolve, reject) => {
      const leave = () => {
        run.interested--
        if (run.interested === 0) this.#abandon(run)
        reject(signal.reason)
      }
      if (signal.aborted) return leave()
      signal.addEventListener('abort', leave, { once: true })
      const settle = (tell: () => void) => {
        signal.removeEventListener('abort', leave)
        tell()
      }
      run.result.then(
        (value) => settle(() => resolve(value)),
        (error: unknown) => settle(() => reject(error))
      )
    })
  }

  #abandon(run: Run<T>): void {
    // later callers need a run that is not aborted
    if (run === this.#next) this.#next = undefined
    run.abort.abort()
  }
}

function ignore(): void {}

/** Whether the process should get traffic now. */
import { setTimeout as wait } from 'node:timers/promises'
import type { Catalog } from '../storage/catalog.ts'
import type { WarmUp } from '../storage/warm-up.ts'

// Shorter than a probe waits for its answer, of which the reason is a part.
const patienceMs = 500

type RootState = 'there' | 'the root is gone' | 'the root does not answer'

export class Readiness {
  readonly #catalog: Catalog
  readonly #warmUp: WarmUp
  #isDraining = false
  #question: Promise<RootState> | undefined

  constructor(catalog: Catalog, warmUp: WarmUp) {
    this.#catalog = catalog
    this.#warmUp = warmUp
  }

  /** From now on, no more: the process is about to end. */
  drain(): void {
    this.#isDraining = true
  }

  /** @returns undefined when ready, otherwise why not, in words for whoever reads the probe's answer */
  async whyNot(): Promise<string | undefined> {
    if (this.#isDraining) return 'draining'
    const root = await this.#rootState()
    if (root !== 'there') return root
    if (!this.#warmUp.isDone) return `warming: ${this.#warmUp.progress}`
    return undefined
  }

  /** One question to the file system at a time: where it hangs, each more would take a thread of the pool for good. */
  async #rootState(): Promise<RootState> {
    this.#question ??= this.#askRoot()
    const answered = new AbortController()
    const late = wait<RootState>(patienceMs, 'the root does not answer', {
      signal: answered.signal
    })
    late.catch(() => {}) // called off
    const state = await Promise.race([this.#question, late])
    answered.abort()
    return state
  }

  async #askRoot(): Promise<RootState> {
    try {
      await this.#catalog.assertRoot()
      return 'there'
    } catch {
      return 'the root is gone'
    } finally {
      this.#question = undefined
    }
  }
}

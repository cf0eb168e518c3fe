/** Whether the process should get traffic now. */
import type { Catalog } from '../storage/catalog.ts'
import type { WarmUp } from '../storage/warm-up.ts'

export class Readiness {
  readonly #catalog: Catalog
  readonly #warmUp: WarmUp
  #isDraining = false

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
    try {
      await this.#catalog.assertRoot()
    } catch {
      return 'the root is gone'
    }
    if (!this.#warmUp.isDone) return `warming: ${this.#warmUp.progress}`
    return undefined
  }
}

/**
 * What of many files is in memory, for people who look at some of them: asked of the kernel for those alone, at most
 * so often, and with a small share of the event loop's time, however large the files are.
 */
import { setTimeout as wait } from 'node:timers/promises'
import { Catalog, type CatalogOptions } from './catalog.ts'
import { StorageError } from './errors.ts'
import type { OpenFile } from './open-file.ts'
import { mapResidency } from './residency-map.ts'

export interface RowResidency {
  /** bytes of the file as it is now */
  readonly size: number
  readonly trusted: boolean
  readonly residentBytes: number | null
  readonly cells: readonly number[]
}

interface Row {
  readonly path: string
  readonly cells: number
  /** undefined: not known yet; 'gone': the file cannot be opened */
  known: RowResidency | 'gone' | undefined
  /** performance.now() */
  askedAtMs: number
  knownAtMs: number
  isQueued: boolean
}

// A person sees no difference between this and at once.
const freshMs = 700
// Work in one turn of the event loop, and the pause after it: less than 3 % of its time is taken.
const turnMs = 1
const pauseMs = 40
// How long a question waits for answers that are not old, before it takes what is known.
const patienceMs = 300
// Files that nobody looks at any more are closed.
const forgetMs = 10_000
// of its own, so that those that clients use are not closed for it
const maxOpenFiles = 100

export class RowsResidency {
  readonly #rows = new Map<string, Row>()
  readonly #queue: Row[] = []
  readonly #catalog: Catalog
  #waiting: (() => void)[] = []
  #isWorking = false
  readonly #sweeper: NodeJS.Timeout

  private constructor(catalog: Catalog) {
    this.#catalog = catalog
    this.#sweeper = setInterval(() => this.#forget(), forgetMs).unref()
  }

  static async open(
    options: Pick<CatalogOptions, 'root' | 'symlinks' | 'dotfiles'>
  ): Promise<RowsResidency> {
    const catalog = await Catalog.open({
      ...options,
      maxOpenFiles,
      smallFileBytes: 0,
      revalidateMs: freshMs,
      maxWaiting: maxOpenFiles,
      whenRetired: () => {}
    })
    return new RowsResidency(catalog)
  }

  /**
   * @param cells how many equal pieces each file is shown in
   * @returns by path what is known, and how old it is in milliseconds; a file that is gone, or of which nothing is
   *   known yet, is not in it
   */
  async of(
    paths: readonly string[],
    cells: number
  ): Promise<ReadonlyMap<string, RowResidency & { readonly ageMs: number }>> {
    const rows = paths.map((path) => this.#ask(path, cells))
    const endMs = performance.now() + patienceMs
    while (rows.some(({ isQueued }) => isQueued)) {
      const leftMs = endMs - performance.now()
      if (leftMs <= 0) break
      const nextRow = new Promise<void>((resolve) => this.#waiting.push(resolve))
      await Promise.race([nextRow, wait(leftMs)])
    }
    const nowMs = performance.now()
    return new Map(
      rows.flatMap(({ path, known, knownAtMs }) => {
        if (known === undefined || known === 'gone') return []
        return [[path, { ...known, ageMs: Math.round(nowMs - knownAtMs) }]]
      })
    )
  }

  /** Whether a file could not be opened when it was last asked about. */
  isGone(path: string, cells: number): boolean {
    return this.#rows.get(keyOf(path, cells))?.known === 'gone'
  }

  close(): void {
    clearInterval(this.#sweeper)
    this.#catalog.close()
  }

  #ask(path: string, cells: number): Row {
    const key = keyOf(path, cells)
    let row = this.#rows.get(key)
    const nowMs = performance.now()
    if (row === undefined) {
      row = { path, cells, known: undefined, askedAtMs: 0, knownAtMs: -freshMs, isQueued: false }
      this.#rows.set(key, row)
    }
    row.askedAtMs = nowMs
    if (!row.isQueued && nowMs - row.knownAtMs >= freshMs) {
      row.isQueued = true
      this.#queue.push(row)
      if (!this.#isWorking) void this.#work()
    }
    return row
  }

  async #work(): Promise<void> {
    this.#isWorking = true
    let workedMs = 0
    for (let row = this.#queue.shift(); row !== undefined; row = this.#queue.shift()) {
      const file = await this.#open(row.path)
      const startedAtMs = performance.now()
      row.known = file === undefined ? 'gone' : await look(file, row.cells)
      row.knownAtMs = performance.now()
      row.isQueued = false
      const waiting = this.#waiting
      this.#waiting = []
      for (const resolve of waiting) resolve()
      // what took longer has made its own pauses
      workedMs += Math.min(turnMs, row.knownAtMs - startedAtMs)
      if (workedMs < turnMs) continue
      workedMs = 0
      await wait(pauseMs)
    }
    this.#isWorking = false
  }

  /** @returns undefined when it cannot be opened */
  async #open(path: string): Promise<OpenFile | undefined> {
    try {
      return await this.#catalog.open(path)
    } catch (error) {
      if (error instanceof StorageError) return undefined
      throw error
    }
  }

  #forget(): void {
    const nowMs = performance.now()
    for (const [key, row] of this.#rows) {
      if (!row.isQueued && nowMs - row.askedAtMs > forgetMs) this.#rows.delete(key)
    }
    if (this.#rows.size === 0) this.#catalog.clear()
  }
}

/** Releases the file. */
async function look(file: OpenFile, cells: number): Promise<RowResidency> {
  try {
    const map = await mapResidency(file, 0, file.size, cells, 'cachestat', pauseMs)
    return { size: file.size, ...map }
  } finally {
    file.release()
  }
}

function keyOf(path: string, cells: number): string {
  return `${cells} ${path}`
}

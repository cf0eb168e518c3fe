/** One file: its heat map, what of it is asked for most, its slow answers; and what can be done with its pages. */
import type { FileActivity, SlowAnswer } from '../src/metrics/live-types.ts'
import * as api from './api.ts'
import { byId, colour, h, onTheme, replace, setText, wantsLessMotion, watchSight } from './dom.ts'
import * as format from './format.ts'
import { HeatMap } from './heat-map.ts'
import { slowItem } from './slow.ts'
import { fit } from './strip.ts'

const refreshMs = 1000
// The whole file is looked at, which takes the event loop's time: most of the time nothing is asked.
const restPerAnswer = 50
const mostCells = 1024
const hottestShown = 5
// What is warmed with one request: small enough for a progress that moves, and never more than this at a time.
const firstChunkBytes = 8 * 2 ** 20
const longestChunkBytes = 256 * 2 ** 20
const chunkMs = 300

export interface FileOptions {
  readonly slowAnswers: () => readonly SlowAnswer[]
  readonly tryBytes: (path: string, bytes: api.Bytes) => void
  readonly whenClosed: (path: string) => void
}

export class FilePanel {
  readonly #options: FileOptions
  readonly #panel = byId('file')
  readonly #map: HeatMap
  readonly #isSeen: () => boolean
  #path: string | undefined
  #size = 0
  #pageSize = 4096
  #activity: FileActivity | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #warming: AbortController | undefined

  constructor(options: FileOptions) {
    this.#options = options
    this.#map = new HeatMap((bytes) => this.#setBytes(bytes))
    this.#isSeen = watchSight(this.#panel, () => this.#again(0))
    byId('file-close').addEventListener('click', () => this.close())
    this.#panel.addEventListener('keydown', ({ key }) => {
      if (key === 'Escape') this.close()
    })
    byId('warm-all').addEventListener('click', () => void this.#warm([0, this.#size - 1]))
    byId('warm-bytes').addEventListener('click', () => {
      const bytes = this.#bytes()
      if (bytes !== undefined) void this.#warm(bytes)
    })
    byId('evict-all').addEventListener('click', () => void this.#evict(undefined))
    byId('evict-bytes').addEventListener('click', () => {
      const bytes = this.#bytes()
      if (bytes !== undefined) void this.#evict(bytes)
    })
    byId('try-bytes').addEventListener('click', () => {
      const bytes = this.#bytes()
      if (bytes !== undefined && this.#path !== undefined) options.tryBytes(this.#path, bytes)
    })
    byId('warm-cancel').addEventListener('click', () => this.#warming?.abort())
    onTheme(() => this.#drawHeat())
    new ResizeObserver(() => this.#drawHeat()).observe(byId('heat-bars'))
  }

  open(path: string): void {
    this.#warming?.abort()
    this.#path = path
    this.#map.clear()
    this.#activity = undefined
    setText(byId('file-name'), path)
    for (const id of ['file-facts', 'file-outcome']) setText(byId(id), '')
    this.#panel.hidden = false
    byId('file-name').focus({ preventScroll: true })
    this.#again(0)
  }

  scroll(): void {
    const behavior = wantsLessMotion() ? 'instant' : 'smooth'
    this.#panel.scrollIntoView({ block: 'start', behavior })
  }

  close(): void {
    const path = this.#path
    if (path === undefined) return
    this.#warming?.abort()
    this.#path = undefined
    this.#panel.hidden = true
    this.#options.whenClosed(path)
  }

  #again(afterMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#refresh(), afterMs)
  }

  async #refresh(): Promise<void> {
    const path = this.#path
    if (path === undefined || !this.#isSeen()) return
    const startedAtMs = performance.now()
    try {
      const pages = Math.max(1, Math.ceil(this.#size / this.#pageSize))
      const cells = this.#size === 0 ? mostCells : Math.min(mostCells, pages)
      const [residency, activity] = await Promise.all([
        api.residency(path, cells),
        api.activity(path)
      ])
      if (path !== this.#path) return
      const isFirst = this.#size !== residency.size
      this.#size = residency.size
      this.#pageSize = residency.pageSize
      if (isFirst) this.#setBytes([0, Math.max(0, Math.min(residency.size, 2 ** 20) - 1)])
      this.#activity = activity
      this.#show(residency, activity)
      // with fewer cells than were asked for, if the file has fewer pages
      if (isFirst && residency.size < mostCells * residency.pageSize) return this.#again(0)
    } catch (error) {
      if (path !== this.#path) return
      setText(byId('file-facts'), error instanceof api.RequestError ? error.message : 'no answer')
    }
    this.#again(Math.max(refreshMs, restPerAnswer * (performance.now() - startedAtMs)))
  }

  #show({ size, trusted, residentBytes, cells }: api.Residency, activity: FileActivity): void {
    this.#map.update(size, cells, trusted)
    const resident =
      residentBytes === null
        ? 'what is in memory is unknown: the kernel tells the truth about this file only to its owner'
        : `${format.bytes(residentBytes)} in memory (${format.percent(size === 0 ? 0 : residentBytes / size)})`
    const asked = `${format.whole(activity.requests)} requests and ${format.bytes(activity.bytes)} in the last minutes`
    const open = activity.isOpen ? 'open' : 'not open'
    setText(byId('file-facts'), `${format.bytes(size)}; ${resident}; ${asked}; ${open}`)
    this.#drawHeat()
    const hottest = activity.heat
      .map((count, piece) => ({ count, piece }))
      .filter(({ count }) => count >= 0.5)
      .sort((a, b) => b.count - a.count)
      .slice(0, hottestShown)
    replace(
      byId('hottest'),
      ...hottest.map(({ count, piece }) => {
        const bytes = this.#pieceBytes(piece, activity.heat.length)
        return h(
          'li',
          {},
          h(
            'button',
            { type: 'button', class: 'link', onclick: () => this.#setBytes(bytes) },
            `bytes ${format.range(...bytes)}`
          ),
          ` about ${format.count(count)} requests`
        )
      }),
      hottest.length === 0 && h('li', {}, 'nothing was asked for lately')
    )
    const slow = this.#options.slowAnswers().filter(({ path }) => path === this.#path)
    replace(
      byId('file-slow'),
      ...slow.slice(0, 5).map((answer) => slowItem(answer)),
      slow.length === 0 && h('li', {}, 'none')
    )
  }

  #pieceBytes(piece: number, pieces: number): api.Bytes {
    const first = Math.floor((this.#size * piece) / pieces)
    return [first, Math.max(first, Math.floor((this.#size * (piece + 1)) / pieces) - 1)]
  }

  /** How often each piece was asked for, as bars above the map. */
  #drawHeat(): void {
    const canvas = byId<HTMLCanvasElement>('heat-bars')
    const fitted = fit(canvas)
    const heat = this.#activity?.heat ?? []
    const most = Math.max(1, ...heat)
    if (fitted === undefined) return
    const { context, width, height } = fitted
    context.fillStyle = colour('grid')
    context.fillRect(0, height - 1, width, 1)
    context.fillStyle = colour('flash')
    for (const [piece, count] of heat.entries()) {
      if (count === 0) continue
      const from = Math.round((piece * width) / heat.length)
      const to = Math.round(((piece + 1) * width) / heat.length)
      const bar = Math.max(2, (height * count) / most)
      context.fillRect(from, height - bar, Math.max(1, to - from - 1), bar)
    }
  }

  #setBytes([first, last]: api.Bytes): void {
    byId<HTMLInputElement>('first-byte').value = String(first)
    byId<HTMLInputElement>('last-byte').value = String(last)
  }

  /** @returns undefined, with a word about it, when what was entered is no range of this file */
  #bytes(): api.Bytes | undefined {
    const [first, last] = ['first-byte', 'last-byte'].map((id) => {
      const text = byId<HTMLInputElement>(id).value.trim()
      return /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    }) as [number, number]
    if (first <= last && first < this.#size) return [first, Math.min(last, this.#size - 1)]
    this.#tell(
      `The first and the last byte are whole numbers from 0 to ${format.whole(this.#size - 1)}, the first not after the last.`
    )
    return undefined
  }

  #tell(text: string): void {
    setText(byId('file-outcome'), text)
  }

  /** In pieces, so that there is a progress, and so that no byte is read after it was cancelled but those in flight. */
  async #warm([first, last]: api.Bytes): Promise<void> {
    const path = this.#path
    if (path === undefined || last < first) return
    this.#warming?.abort()
    const abort = new AbortController()
    this.#warming = abort
    const progress = byId<HTMLProgressElement>('warm-progress')
    const all = last - first + 1
    progress.max = all
    progress.value = 0
    byId('warming').hidden = false
    const startedAtMs = performance.now()
    let chunk = firstChunkBytes
    let outcome = ''
    try {
      for (let at = first; at <= last; ) {
        const end = Math.min(last, at + chunk - 1)
        const chunkAtMs = performance.now()
        await api.warm(path, [at, end], abort.signal)
        at = end + 1
        progress.value = at - first
        const done = `${format.bytes(at - first)} of ${format.bytes(all)}`
        setText(byId('warm-told'), `${format.percent((at - first) / all)}: ${done}`)
        if (performance.now() - chunkAtMs < chunkMs) chunk = Math.min(2 * chunk, longestChunkBytes)
        else chunk = Math.max(firstChunkBytes, Math.floor(chunk / 2))
      }
      const seconds = format.ms(performance.now() - startedAtMs)
      outcome = `${format.bytes(all)} were read into memory in ${seconds}.`
    } catch (error) {
      if (abort.signal.aborted) outcome = `Cancelled after ${format.bytes(progress.value)}.`
      else
        outcome = error instanceof api.RequestError ? error.message : 'The service did not answer.'
    }
    if (this.#warming !== abort) return
    this.#warming = undefined
    byId('warming').hidden = true
    if (path !== this.#path) return
    this.#tell(outcome)
    this.#again(0)
  }

  async #evict(bytes: api.Bytes | undefined): Promise<void> {
    const path = this.#path
    if (path === undefined) return
    this.#warming?.abort()
    try {
      const { evictedBytes, residentBytes, dirtyBytes, milliseconds } = await api.evict(path, bytes)
      if (evictedBytes === null || residentBytes === null) {
        this.#tell(
          'The kernel was told that these pages are not needed. What stayed it does not tell.'
        )
      } else {
        const stays =
          residentBytes === 0 ? 'Nothing stayed.' : whyItStays(residentBytes, dirtyBytes)
        this.#tell(
          `${format.bytes(evictedBytes)} left memory in ${format.ms(milliseconds)}. ${stays}`
        )
      }
    } catch (error) {
      this.#tell(error instanceof api.RequestError ? error.message : 'The service did not answer.')
    }
    this.#again(0)
  }
}

function whyItStays(residentBytes: number, dirtyBytes: number | null): string {
  const others =
    'a process has it mapped and uses it, it is locked in memory, or it was asked for again'
  const stays = `${format.bytes(residentBytes)} stayed`
  if (dirtyBytes === null || dirtyBytes === 0) return `${stays}: ${others}.`
  if (dirtyBytes >= residentBytes)
    return `${stays}: not written to the disk yet. Try again in a moment.`
  return `${stays}: ${format.bytes(dirtyBytes)} are not written to the disk yet; of the rest, ${others}.`
}

/** The files below the root: a page of the table at a time, with what of each is in memory. */
import type { FileRow } from '../src/metrics/live-types.ts'
import * as api from './api.ts'
import { byId, h, onTheme, setText, watchSight } from './dom.ts'
import * as format from './format.ts'
import { Strip, stripColours } from './strip.ts'

const refreshMs = 1000
// A slow answer is not asked for again at once: nine tenths of the time nothing is asked.
const restPerAnswer = 9
const searchPauseMs = 200
const cells = 60

interface Row {
  readonly element: HTMLTableRowElement
  readonly strip: Strip
  readonly size: HTMLElement
  readonly share: HTMLElement
  readonly requests: HTMLElement
  readonly bytes: HTMLElement
}

export class Files {
  readonly #open: (path: string) => void
  readonly #rows = new Map<string, Row>()
  readonly #body = byId('files-body')
  readonly #isSeen: () => boolean
  #colours = stripColours()
  #sort = 'path'
  #search = ''
  #offset = 0
  #total = 0
  #abort: AbortController | undefined
  #timer: ReturnType<typeof setTimeout> | undefined
  #selected: string | undefined

  /** @param open called with the path of the file that a person chose */
  constructor(open: (path: string) => void) {
    this.#open = open
    this.#isSeen = watchSight(byId('files'), () => this.#again(0))
    const search = byId<HTMLInputElement>('files-search')
    let typing: ReturnType<typeof setTimeout> | undefined
    search.addEventListener('input', () => {
      clearTimeout(typing)
      typing = setTimeout(() => {
        this.#search = search.value
        this.#turnTo(0)
      }, searchPauseMs)
    })
    const sort = byId<HTMLSelectElement>('files-sort')
    sort.addEventListener('change', () => {
      this.#sort = sort.value
      this.#turnTo(0)
    })
    byId<HTMLSelectElement>('files-limit').addEventListener('change', () => this.#turnTo(0))
    byId('files-previous').addEventListener('click', () => this.#turnTo(this.#offset - this.#limit))
    byId('files-next').addEventListener('click', () => this.#turnTo(this.#offset + this.#limit))
    onTheme(() => {
      this.#colours = stripColours()
      for (const { strip } of this.#rows.values()) strip.colours = this.#colours
    })
    new ResizeObserver(() => {
      for (const { strip } of this.#rows.values()) strip.draw()
    }).observe(this.#body)
  }

  /** Marks the row of the file that is open beside the table. */
  set selected(path: string | undefined) {
    this.#selected = path
    for (const [rowPath, { element }] of this.#rows) mark(element, rowPath === path)
  }

  focus(path: string): void {
    this.#rows.get(path)?.element.querySelector('button')?.focus()
  }

  get #limit(): number {
    return Number(byId<HTMLSelectElement>('files-limit').value)
  }

  #turnTo(offset: number): void {
    this.#offset = Math.max(0, offset)
    this.#again(0)
  }

  #again(afterMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#refresh(), afterMs)
  }

  async #refresh(): Promise<void> {
    if (!this.#isSeen()) return
    this.#abort?.abort()
    const abort = new AbortController()
    this.#abort = abort
    const startedAtMs = performance.now()
    try {
      const page = await api.files(
        {
          search: this.#search,
          sort: this.#sort,
          offset: this.#offset,
          limit: this.#limit,
          cells
        },
        abort.signal
      )
      if (abort.signal.aborted) return
      this.#show(page)
    } catch (error) {
      if (abort.signal.aborted) return
      setText(byId('files-count'), error instanceof api.RequestError ? error.message : 'no answer')
    }
    const tookMs = performance.now() - startedAtMs
    // the service lets a question wait for the kernel's answers, which is no work of the event loop
    this.#again(Math.max(refreshMs - tookMs, Math.min(restPerAnswer * tookMs, refreshMs)))
  }

  #show({ rows, total, state }: api.FilesPage): void {
    this.#total = total
    const paths = new Set(rows.map(({ path }) => path))
    for (const [path, row] of this.#rows) {
      if (paths.has(path)) continue
      row.element.remove()
      this.#rows.delete(path)
    }
    for (const [place, file] of rows.entries()) {
      const row = this.#rows.get(file.path) ?? this.#add(file.path)
      const there = this.#body.children[place]
      if (there !== row.element) this.#body.insertBefore(row.element, there ?? null)
      this.#fill(row, file)
    }
    byId('files-empty').hidden = total > 0
    setText(byId('files-empty'), this.#search === '' ? 'There is none yet.' : 'No file matches.')
    setText(
      byId('files-count'),
      countOf(this.#offset + 1, this.#offset + rows.length, total, state)
    )
    byId<HTMLButtonElement>('files-previous').disabled = this.#offset === 0
    byId<HTMLButtonElement>('files-next').disabled = this.#offset + this.#limit >= this.#total
  }

  #add(path: string): Row {
    const canvas = h('canvas', { class: 'strip', role: 'img' })
    const cell = (name: string) => h('td', { class: name })
    const [size, share] = [cell('size'), cell('share')]
    const [requests, bytes] = [cell('requests'), cell('bytes')]
    const name = h(
      'button',
      { type: 'button', class: 'path', onclick: () => this.#open(path) },
      ...pathParts(path)
    )
    const element = h(
      'tr',
      { 'data-path': path },
      h('th', { scope: 'row' }, name),
      size,
      h('td', { class: 'map' }, canvas),
      share,
      requests,
      bytes
    )
    mark(element, path === this.#selected)
    const row = { element, strip: new Strip(canvas, this.#colours), size, share, requests, bytes }
    this.#rows.set(path, row)
    return row
  }

  #fill(row: Row, file: FileRow): void {
    const told = shareOf(file)
    setText(row.size, format.bytes(file.size))
    setText(row.share, told.short)
    row.share.title = told.long
    setText(row.requests, file.requests === 0 ? '–' : format.count(file.requests))
    setText(row.bytes, file.bytes === 0 ? '–' : format.bytes(file.bytes))
    row.strip.canvas.setAttribute('aria-label', told.long)
    row.strip.update(file.cells, file.trusted, file.size, file.recent)
  }
}

/** @param first, last rows that are shown, counted from 1 */
function countOf(first: number, last: number, total: number, state: string): string {
  const more = state === 'walking' ? ', still looking' : state === 'truncated' ? ', and more' : ''
  if (total === 0) return `no files${more}`
  if (total === 1) return `1 file${more}`
  const which = first > last ? 'none' : format.range(first, Math.min(last, total))
  return `${which} of ${format.whole(total)} files${more}`
}

function mark(element: HTMLElement, isSelected: boolean): void {
  if (isSelected) element.setAttribute('aria-current', 'true')
  else element.removeAttribute('aria-current')
}

/** The folder apart from the name, so that a long path can be broken between names. */
function pathParts(path: string): (Node | string)[] {
  const at = path.lastIndexOf('/') + 1
  if (at === 0) return [path]
  return [h('span', { class: 'folder' }, path.slice(0, at)), h('wbr'), path.slice(at)]
}

function shareOf({ trusted, residentBytes, size }: FileRow): { short: string; long: string } {
  if (trusted === false) {
    return {
      short: 'unknown',
      long: 'unknown: the kernel tells the truth about this file only to its owner'
    }
  }
  if (residentBytes === null) return { short: '…', long: 'not asked yet' }
  const share = size === 0 ? 0 : residentBytes / size
  return {
    short: size === 0 ? 'empty' : format.percent(share),
    long: `${format.percent(share)} in memory: ${format.bytes(residentBytes)} of ${format.bytes(size)}`
  }
}

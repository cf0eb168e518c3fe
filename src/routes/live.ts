/**
 * What the live page asks beside metrics and residency: a stream of numbers, the files and what was asked of them,
 * slow answers. Nothing here does anything while nobody asks.
 */
import type { FastifyInstance } from 'fastify'
import { addActivity } from '../metrics/activity.ts'
import { cgroupMemory } from '../metrics/cgroup-memory.ts'
import type { Exchange } from '../metrics/exchange.ts'
import type { AnswerOf, Question, About as Topic } from '../metrics/live.ts'
import type { About, FileActivity, FileRow, LiveEvent, SlowAnswer } from '../metrics/live-types.ts'
import type { Observer } from '../metrics/observer.ts'
import { ReadingSum } from '../metrics/reading.ts'
import { exchangeOf } from '../plugins/follow.ts'
import type { FileList, ListedFile } from '../storage/file-list.ts'
import { filterInTurns, sortInTurns } from '../storage/in-turns.ts'
import type { RowsResidency } from '../storage/row-residency.ts'
import { EventFeed } from './event-feed.ts'
import type { Service } from './ops.ts'
import { oneOf, wholeNumber } from './query.ts'

/** The processes that serve files, of which this one may be one. */
export interface Processes {
  ask<T extends Topic>(question: Question<T>): Promise<readonly AnswerOf<T>[]>
  /** where they listen for requests of files; undefined: not yet, or no more */
  filesAddress(): { readonly host: string; readonly port: number } | undefined
}

export interface LiveRoutesOptions {
  readonly service: Service
  readonly processes: Processes
  readonly observer: Observer
  readonly about: About
  readonly files: FileList
  readonly rows: RowsResidency
}

const maxFilesAtOnce = 500
const maxCells = 200
const defaultFiles = 50
const defaultCells = 50
const maxSlow = 100
const config = { cors: false } as const

export function registerEvents(app: FastifyInstance, options: LiveRoutesOptions): EventFeed {
  const { service, processes, observer, about } = options
  const sum = new ReadingSum()
  const feed = new EventFeed(async (): Promise<LiveEvent | undefined> => {
    const [readings, notReady] = await Promise.all([
      processes.ask({ about: 'reading', asks: undefined }),
      service.whyNotReady()
    ])
    const reading = sum.of(readings)
    return (
      reading && {
        at: Date.now(),
        about,
        notReady: notReady ?? null,
        processes: readings.filter(({ answer }) => answer !== undefined).length,
        cgroup: cgroupMemory(),
        ...reading
      }
    )
  })
  app.get('/events', { config }, (request, reply) => {
    if (!feed.hasRoom) throw app.httpErrors.serviceUnavailable('too many pages are open')
    // an answer that goes on for hours is observed when it begins
    const exchange: Exchange = exchangeOf(observer, request, '/events')
    exchange.status = 200
    observer.conclude(exchange)
    const fields = Object.fromEntries(
      Object.entries(reply.getHeaders()).map(([name, value]) => [name, String(value)])
    )
    reply.hijack()
    feed.add(reply.raw, fields, request.headers['last-event-id']?.toString())
  })
  return feed
}

type Query = { Querystring: Record<string, string> }

const sorts = ['path', '-path', 'size', '-size', 'requests', 'bytes'] as const
type Sort = (typeof sorts)[number]

export function registerFileRows(app: FastifyInstance, options: LiveRoutesOptions): void {
  const { processes, files, rows } = options
  const views = new Views(files)

  app.get<Query>('/files', { config }, async (request, reply) => {
    const { query } = request
    const { prefix = '', search = '' } = query
    const sort = oneOf(app, query.sort, 'sort', sorts, 'path')
    const limit = wholeNumber(app, query.limit, 'limit', 1, maxFilesAtOnce, defaultFiles)
    const offset = wholeNumber(app, query.offset, 'offset', 0, Number.MAX_SAFE_INTEGER, 0)
    const cells = wholeNumber(app, query.cells, 'cells', 0, maxCells, defaultCells)
    await files.refresh()
    const view = await views.of({ prefix, search: search.toLowerCase(), sort })
    const page = await pageOf(view, sort, offset, limit)
    // of more than one list there may be a newer one by now; the page is of one
    reply.header('x-total-count', view.length)
    reply.header('x-list-state', files.state)
    return rowsOf(page, cells)
  })

  /** The files of a view from `offset` on; by activity those that were asked for lately come first. */
  async function pageOf(
    view: readonly ListedFile[],
    sort: Sort,
    offset: number,
    limit: number
  ): Promise<readonly ListedFile[]> {
    if (sort !== 'requests' && sort !== 'bytes') return view.slice(offset, offset + limit)
    const busiest = merged(await processes.ask({ about: 'busiest', asks: sort }))
    const order = new Map(
      [...busiest.values()]
        .sort((a, b) => b[sort] - a[sort])
        .map(({ path }, place) => [path, place] as const)
    )
    const busy = await filterInTurns(view, ({ path }) => order.has(path))
    busy.sort((a, b) => (order.get(a.path) ?? 0) - (order.get(b.path) ?? 0))
    if (offset + limit <= busy.length) return busy.slice(offset, offset + limit)
    const idle = await filterInTurns(view, ({ path }) => !order.has(path))
    return [...busy, ...idle].slice(offset, offset + limit)
  }

  async function rowsOf(page: readonly ListedFile[], cells: number): Promise<FileRow[]> {
    const paths = page.map(({ path }) => path)
    const [activity, residency] = await Promise.all([
      processes.ask({ about: 'activity', asks: paths }).then(merged),
      cells === 0 ? undefined : rows.of(paths, cells)
    ])
    return page.flatMap(({ path, size }) => {
      if (cells > 0 && rows.isGone(path, cells)) return []
      const known = residency?.get(path)
      const { heat: _, ...asked } = activity.get(path) ?? nothingAsked(path)
      return {
        ...asked,
        size: known?.size ?? size,
        trusted: known?.trusted ?? null,
        residentBytes: known?.residentBytes ?? null,
        cells: known?.cells.map((share) => Math.round(share * 1000) / 1000) ?? [],
        residencyAgeMs: known?.ageMs ?? null
      }
    })
  }

  app.get<Query>('/activity', { config }, async (request) => {
    const { path = '' } = request.query
    return (
      merged(await processes.ask({ about: 'activity', asks: [path] })).get(path) ??
      nothingAsked(path)
    )
  })

  app.get('/slow', { config }, async () => {
    const answers = await processes.ask({ about: 'slow', asks: undefined })
    const all: SlowAnswer[] = answers.flatMap(({ answer }) => answer ?? [])
    return all.sort((a, b) => b.at - a.at).slice(0, maxSlow)
  })
}

function nothingAsked(path: string): FileActivity {
  return { path, isOpen: false, requests: 0, bytes: 0, recent: [], heat: [] }
}

/** By path, what all processes have counted. */
function merged(
  answers: readonly { readonly answer: readonly FileActivity[] | undefined }[]
): Map<string, FileActivity> {
  const all = new Map<string, FileActivity>()
  for (const activity of answers.flatMap(({ answer }) => answer ?? [])) {
    const known = all.get(activity.path)
    all.set(activity.path, known === undefined ? activity : addActivity(known, activity))
  }
  return all
}

interface Wish {
  readonly prefix: string
  /** lower case */
  readonly search: string
  readonly sort: Sort
}

// Views are asked for again every second, by each page that shows one.
const keptViews = 8

/** The list, searched and sorted: made once for each list, and used until there is another. */
class Views {
  readonly #files: FileList
  readonly #views = new Map<string, { version: number; view: Promise<readonly ListedFile[]> }>()

  constructor(files: FileList) {
    this.#files = files
  }

  of(wish: Wish): Promise<readonly ListedFile[]> {
    const { version } = this.#files
    const key = JSON.stringify([wish.prefix, wish.search, wish.sort])
    const known = this.#views.get(key)
    if (known?.version === version) return known.view
    const view = this.#make(wish)
    this.#views.delete(key)
    this.#views.set(key, { version, view })
    const [oldest] = this.#views.keys()
    if (this.#views.size > keptViews && oldest !== undefined) this.#views.delete(oldest)
    return view
  }

  async #make({ prefix, search, sort }: Wish): Promise<readonly ListedFile[]> {
    const { files } = this.#files
    const found =
      prefix === '' && search === ''
        ? files
        : await filterInTurns(
            files,
            ({ path }) => path.startsWith(prefix) && path.toLowerCase().includes(search)
          )
    switch (sort) {
      case '-path':
        return [...found].reverse()
      case 'size':
        return sortInTurns(found, (a, b) => a.size - b.size)
      case '-size':
        return sortInTurns(found, (a, b) => b.size - a.size)
      default:
        return found
    }
  }
}

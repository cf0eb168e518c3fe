/** What the page asks of the ops port, with the token where one is wanted. All addresses are relative to the page. */
import type {
  Evicted,
  FileActivity,
  FileRow,
  LiveEvent,
  SlowAnswer,
  Tried
} from '../src/metrics/live-types.ts'
import { encodedPath } from './format.ts'

const tokenKey = 'mmap-range-server ops token'

/** An answer with an error status, in the service's own words. */
export class RequestError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

type AskForToken = (wasRefused: boolean) => Promise<string>

let askForToken: AskForToken = () => Promise.reject(new Error('no way to ask for the token'))
let asking: Promise<void> | undefined

/** @param ask gets the token from the person */
export function setTokenPrompt(ask: AskForToken): void {
  askForToken = ask
}

/** All requests that are refused at the same time wait for one prompt. */
function renewToken(refused: string | null): Promise<void> {
  // another request may have got a new one meanwhile
  if (sessionStorage.getItem(tokenKey) !== refused) return Promise.resolve()
  asking ??= askForToken(refused !== null)
    .then((token) => sessionStorage.setItem(tokenKey, token))
    .finally(() => {
      asking = undefined
    })
  return asking
}

async function send(url: string, init: RequestInit = {}): Promise<Response> {
  for (;;) {
    const token = sessionStorage.getItem(tokenKey)
    const headers = new Headers(init.headers)
    if (token !== null) headers.set('authorization', `Bearer ${token}`)
    const response = await fetch(url, { ...init, headers, cache: 'no-store' })
    if (response.status !== 401) return response
    init.signal?.throwIfAborted()
    await renewToken(token)
  }
}

/** @throws RequestError; what fetch throws */
async function json<T>(url: string, init?: RequestInit): Promise<{ body: T; headers: Headers }> {
  const response = await send(url, init)
  const body: unknown = await response.json().catch(() => undefined)
  if (!response.ok) {
    const message = (body as { message?: string } | undefined)?.message
    throw new RequestError(response.status, message ?? `status ${response.status}`)
  }
  return { body: body as T, headers: response.headers }
}

function post(ranges: readonly Bytes[] | undefined, signal?: AbortSignal): RequestInit {
  const init: RequestInit = { method: 'POST', ...(signal && { signal }) }
  if (ranges === undefined) return init
  return {
    ...init,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ ranges })
  }
}

/** First and last byte, both included. */
export type Bytes = readonly [first: number, last: number]

export interface FilesQuery {
  readonly search: string
  readonly sort: string
  readonly offset: number
  readonly limit: number
  readonly cells: number
}

export interface FilesPage {
  readonly rows: readonly FileRow[]
  readonly total: number
  readonly state: string
}

export async function files(query: FilesQuery, signal?: AbortSignal): Promise<FilesPage> {
  const text = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, `${value}`]))
  const { body, headers } = await json<FileRow[]>(`files?${text}`, signal && { signal })
  return {
    rows: body,
    total: Number(headers.get('x-total-count')),
    state: headers.get('x-list-state') ?? ''
  }
}

export interface Residency {
  readonly size: number
  readonly pageSize: number
  readonly trusted: boolean
  readonly residentBytes: number | null
  readonly cells: readonly number[]
}

export async function residency(path: string, cells: number): Promise<Residency> {
  return (await json<Residency>(`residency/${encodedPath(path)}?cells=${cells}`)).body
}

export async function activity(path: string): Promise<FileActivity> {
  return (await json<FileActivity>(`activity?path=${encodeURIComponent(path)}`)).body
}

export async function slow(): Promise<readonly SlowAnswer[]> {
  return (await json<SlowAnswer[]>('slow')).body
}

export async function warm(path: string, bytes: Bytes, signal: AbortSignal): Promise<number> {
  const answer = await json<{ bytes: number }>(`warm/${encodedPath(path)}`, post([bytes], signal))
  return answer.body.bytes
}

/** @param bytes undefined: the whole file */
export async function evict(path: string, bytes: Bytes | undefined): Promise<Evicted> {
  return (await json<Evicted>(`evict/${encodedPath(path)}`, post(bytes && [bytes]))).body
}

/** @param rangeField value of the Range field; empty: none */
export async function tryRange(path: string, rangeField: string): Promise<Tried> {
  const query = rangeField === '' ? '' : `?range=${encodeURIComponent(rangeField)}`
  return (await json<Tried>(`try/${encodedPath(path)}${query}`)).body
}

export type Connection = 'connecting' | 'live' | 'lost'

const firstRetryMs = 500
const longestRetryMs = 5000
// An event comes every second: a connection this long without one is dead, whatever TCP thinks.
const silenceMs = 5000

/**
 * The stream of events, for as long as the page is there. Not an EventSource, which cannot send the token; it comes back
 * by itself as that does, with the id of the last event that was seen.
 */
export async function listen(
  onEvent: (event: LiveEvent) => void,
  onConnection: (connection: Connection) => void
): Promise<never> {
  let lastId = ''
  let retryMs = firstRetryMs
  for (;;) {
    onConnection('connecting')
    const abort = new AbortController()
    const lull = new Lull(() => abort.abort())
    try {
      const headers: HeadersInit = lastId === '' ? {} : { 'last-event-id': lastId }
      const response = await send('events', { headers, signal: abort.signal })
      if (!response.ok || response.body === null)
        throw new RequestError(response.status, 'no events')
      lull.begin()
      for await (const { id, data } of eventsIn(response.body)) {
        lull.begin()
        retryMs = firstRetryMs
        lastId = id
        onConnection('live')
        onEvent(JSON.parse(data) as LiveEvent)
      }
    } catch {
      // the reason is of no use to anybody: it is tried again
    } finally {
      lull.end()
    }
    onConnection('lost')
    await new Promise((resolve) => setTimeout(resolve, retryMs))
    retryMs = Math.min(longestRetryMs, 2 * retryMs)
  }
}

class Lull {
  readonly #whenOver: () => void
  #timer: ReturnType<typeof setTimeout> | undefined

  constructor(whenOver: () => void) {
    this.#whenOver = whenOver
  }

  begin(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#whenOver, silenceMs)
  }

  end(): void {
    clearTimeout(this.#timer)
  }
}

/** Blocks of `id` and `data` lines, as the service writes them: one line of data each. */
async function* eventsIn(
  body: ReadableStream<Uint8Array>
): AsyncGenerator<{ readonly id: string; readonly data: string }> {
  const reader = body
    .pipeThrough(new TextDecoderStream() as never)
    .getReader() as ReadableStreamDefaultReader<string>
  let text = ''
  for (;;) {
    const { value, done } = await reader.read()
    if (done) return
    text += value
    const blocks = text.split('\n\n')
    text = blocks.pop() ?? ''
    for (const block of blocks) {
      const field = (name: string) => new RegExp(`^${name}: ?(.*)$`, 'm').exec(block)?.[1]
      const data = field('data')
      if (data !== undefined) yield { id: field('id') ?? '', data }
    }
  }
}

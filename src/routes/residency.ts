/** What of a file is in memory, and how to get it there: for operators, on the ops port only. */
import type { FastifyInstance } from 'fastify'
import type { ByteRange } from '../http/byte-range.ts'
import { decodeRequestPath } from '../http/request-path.ts'
import { pathBehind } from '../http/request-target.ts'
import type { Evicted } from '../metrics/live-types.ts'
import { StorageError } from '../storage/errors.ts'
import { evict } from '../storage/evict.ts'
import { pageBytes } from '../storage/native/page-size.ts'
import type { OpenFile } from '../storage/open-file.ts'
import { mapResidency } from '../storage/residency-map.ts'
import type { Storage } from '../storage/storage.ts'
import { warm } from '../storage/warm.ts'
import type { Processes } from './live.ts'
import { wholeNumber } from './query.ts'

const maxCells = 10_000
const defaultCells = 100
const maxWarmRanges = 1000
// Warming reads at the disk's pace: more at once would only be slower for all.
const maxWarmsAtOnce = 2

export interface ResidencyOptions {
  readonly storage: Storage
  readonly dotfiles: 'allow' | 'deny'
  /** those that have mapped what is to leave memory */
  readonly processes: Processes
}

export function registerResidency(app: FastifyInstance, options: ResidencyOptions): void {
  const { storage, processes } = options
  let warming = 0

  app.get<{ Querystring: Record<string, string> }>('/residency/*', async (request) =>
    withFile(request.raw.url, '/residency/', async (file) => {
      const query = request.query
      const offset = wholeNumber(app, query.offset, 'offset', 0, file.size, 0)
      const most = file.size - offset
      const length = Math.min(
        wholeNumber(app, query.length, 'length', 0, Number.MAX_SAFE_INTEGER, most),
        most
      )
      const cells = wholeNumber(app, query.cells, 'cells', 1, maxCells, defaultCells)
      const map = await mapResidency(file, offset, offset + length, cells)
      const pinnedBytes = storage.pinned.bytesOf(file, offset, offset + length)
      return {
        path: file.path,
        size: file.size,
        pageSize: pageBytes,
        offset,
        length,
        pinnedBytes,
        ...map
      }
    })
  )

  app.post('/warm/*', async (request, reply) =>
    withFile(request.raw.url, '/warm/', async (file) => {
      const ranges = rangesOf(request.body, file.size)
      if (warming >= maxWarmsAtOnce) {
        reply.header('retry-after', 1)
        throw app.httpErrors.serviceUnavailable(`${maxWarmsAtOnce} files are being warmed already`)
      }
      const abort = new AbortController()
      reply.raw.once('close', () => abort.abort())
      const startedAtMs = performance.now()
      warming++
      try {
        const bytes = await warm(storage.reader, file, ranges, undefined, abort.signal)
        const milliseconds = Math.round((performance.now() - startedAtMs) * 1000) / 1000
        return { path: file.path, bytes, milliseconds }
      } finally {
        warming--
      }
    })
  )

  app.post('/evict/*', async (request) =>
    withFile(request.raw.url, '/evict/', async (file): Promise<Evicted> => {
      const ranges = rangesOf(request.body, file.size)
      const startedAtMs = performance.now()
      await processes.ask({ about: 'untouch', asks: file.path })
      const eviction = await evict(file, ranges)
      const milliseconds = Math.round((performance.now() - startedAtMs) * 1000) / 1000
      const { residentBytes, dirtyBytes } = eviction
      const stays = residentBytes === null ? null : whyItStays(residentBytes, dirtyBytes)
      return { path: file.path, ...eviction, milliseconds, stays }
    })
  )

  async function withFile<T>(
    url: string | undefined,
    prefix: string,
    use: (file: OpenFile) => Promise<T>
  ): Promise<T> {
    const encoded = pathBehind(prefix, url ?? '')
    const path = encoded === undefined ? undefined : decodeRequestPath(encoded, options)
    if (path === undefined) throw new StorageError('NOT_FOUND', '', { reason: 'path refused' })
    const file = await storage.catalog.open(path)
    try {
      return await use(file)
    } finally {
      file.release()
    }
  }

  /** @param body `{"ranges": [[first, last], …]}`, last included as in a Range header, or nothing */
  function rangesOf(body: unknown, size: number): readonly ByteRange[] {
    if (body === undefined || body === null) return [{ start: 0, end: size }]
    const ranges = (body as { ranges?: unknown }).ranges
    if (ranges === undefined) return [{ start: 0, end: size }]
    if (!Array.isArray(ranges) || ranges.length > maxWarmRanges || !ranges.every(isPair)) {
      throw app.httpErrors.badRequest(
        `ranges may be a list of at most ${maxWarmRanges} pairs [first, last] of whole numbers, first ≤ last`
      )
    }
    return ranges
      .map(([first, last]) => ({ start: first, end: Math.min(last + 1, size) }))
      .filter(({ start, end }) => start < end)
  }
}

/** @returns null: nothing stays */
function whyItStays(residentBytes: number, dirtyBytes: number | null): string | null {
  if (residentBytes === 0) return null
  const others =
    'a process has it mapped and uses it, it is locked in memory, or it was just asked for again'
  if (dirtyBytes === null) return `${residentBytes} bytes stay: ${others}, or it is not written yet`
  if (dirtyBytes >= residentBytes) {
    return `${residentBytes} bytes stay: they are not written to the disk yet`
  }
  if (dirtyBytes === 0) return `${residentBytes} bytes stay: ${others}`
  return `${residentBytes} bytes stay: ${dirtyBytes} are not written to the disk yet; of the rest, ${others}`
}

function isPair(pair: unknown): pair is [first: number, last: number] {
  if (!Array.isArray(pair) || pair.length !== 2) return false
  const [first, last] = pair as unknown[]
  return (
    Number.isSafeInteger(first) &&
    Number.isSafeInteger(last) &&
    0 <= Number(first) &&
    Number(first) <= Number(last)
  )
}

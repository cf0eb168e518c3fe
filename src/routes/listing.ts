/** Folders: their listing behind the slash at the end of a path, and the way there without it. */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import {
  encodePath,
  type ListingEntry,
  type ListingFormat,
  listingFormatFor,
  listingHtml,
  listingJson,
  listingPolicy,
  listingTypes
} from '../http/listing.ts'
import { evaluatePreconditions } from '../http/preconditions.ts'
import { decodeRequestPath } from '../http/request-path.ts'
import { pathBehind } from '../http/request-target.ts'
import { type Catalog, maxFolderNames } from '../storage/catalog.ts'
import { StorageError } from '../storage/errors.ts'
import { PoolShare } from '../storage/thread-pool.ts'
import { Turn } from '../storage/turn.ts'

export interface ListingOptions {
  /** URL path of the root, with a slash at both ends */
  readonly prefix: string
  readonly dotfiles: 'allow' | 'deny'
  readonly catalog: Catalog
  /** Answers what is not listed: 412, or 403 with a message. */
  readonly refuse: (reply: FastifyReply, status: 403 | 412, message: string) => FastifyReply
  /** whether a path may be asked for, that of a folder with a slash at its end; default: every one */
  readonly allows?: ((path: string, request: FastifyRequest) => boolean) | undefined
}

export interface Listing {
  /**
   * Answer for a path that names no file.
   * @param path as files have it, decoded; undefined: it names none, such as one with a slash at its end
   * @returns undefined when there is no folder either
   * @throws StorageError
   */
  answer(
    request: FastifyRequest,
    reply: FastifyReply,
    path: string | undefined
  ): Promise<FastifyReply | undefined>
}

// Listings at once that are read or sent. A large one takes some tens of MiB until it is sent.
const maxAtOnce = 8
const maxWaiting = 256
// What is made of the page in one piece, for the stream.
const pieceChars = 64 * 1024

export function createListing(options: ListingOptions): Listing {
  const { prefix, catalog, refuse, allows = () => true } = options
  // of no thread: a listing waits here before it takes its turns on the pool
  const places = new PoolShare({ what: 'listings', maxRunning: maxAtOnce, maxWaiting })
  return { answer }

  async function answer(
    request: FastifyRequest,
    reply: FastifyReply,
    path: string | undefined
  ): Promise<FastifyReply | undefined> {
    const abort = new AbortController()
    reply.raw.once('close', () => abort.abort())
    const { signal } = abort
    try {
      if (path !== undefined) {
        if (!allows(`${path}/`, request)) return undefined
        return (await catalog.isFolder(path, signal)) ? redirect(request, reply, path) : undefined
      }
      const folder = folderOf(request)
      if (folder === undefined || !allows(below(folder, ''), request)) return undefined
      return await places.run(folder, { signal, mayRefuse: true }, () =>
        list(request, reply, folder, signal)
      )
    } catch (error) {
      // the client is gone: there is nobody to answer
      if (signal.aborted && !(error instanceof StorageError)) return reply.hijack()
      throw error
    }
  }

  /** @returns the path of a folder relative to the root, empty for the root itself; undefined for other paths */
  function folderOf({ raw }: FastifyRequest): string | undefined {
    const encoded = pathBehind(prefix, raw.url ?? '')
    if (encoded === '') return ''
    if (encoded?.endsWith('/') !== true) return undefined
    return decodeRequestPath(encoded.slice(0, -1), options)
  }

  /** Links in a listing are relative to the path with the slash. */
  function redirect({ raw }: FastifyRequest, reply: FastifyReply, path: string): FastifyReply {
    const [, query = ''] = /(\?.*)$/.exec(raw.url ?? '') ?? []
    // a file may be there later
    reply.header('cache-control', 'no-cache')
    // encoded anew: what a client has sent must not lead to another host
    return reply.redirect(`${prefix}${encodePath(path)}/${query}`, 301)
  }

  async function allowedOf(
    entries: readonly ListingEntry[],
    folder: string,
    request: FastifyRequest
  ): Promise<readonly ListingEntry[]> {
    const turn = new Turn()
    const allowed: ListingEntry[] = []
    for (const entry of entries) {
      const path = below(folder, entry.isFolder ? `${entry.name}/` : entry.name)
      if (allows(path, request)) allowed.push(entry)
      await turn.isOver()
    }
    return allowed
  }

  async function list(
    request: FastifyRequest,
    reply: FastifyReply,
    folder: string,
    signal: AbortSignal
  ): Promise<FastifyReply> {
    const all = await catalog.readFolder(folder, signal)
    if (all === undefined) {
      return refuse(reply, 403, `a folder of more than ${maxFolderNames} names is not listed`)
    }
    const entries = options.allows === undefined ? all : await allowedOf(all, folder, request)
    const format = listingFormatFor(request.headers.accept)
    const { pieces, bytes, etag } = await render(format, prefix, folder, entries)
    const vary = reply.getHeader('vary')
    reply.headers({
      vary: vary === undefined ? 'Accept' : `${vary}, Accept`,
      etag,
      // asked for again each time, whatever files are told
      'cache-control': 'no-cache',
      'x-content-type-options': 'nosniff'
    })
    if (format === 'html') reply.header('content-security-policy', listingPolicy)
    const outcome = evaluatePreconditions(request.headers, { etag, lastModifiedMs: undefined })
    if (outcome === 'precondition-failed') return refuse(reply, 412, 'Precondition Failed')
    if (outcome === 'not-modified') return reply.code(304).send()
    reply.type(listingTypes[format]).header('content-length', bytes)
    if (request.method === 'HEAD') return reply.send()
    reply.send(Readable.from(pieces))
    // it keeps its place until it is sent
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve))
    return reply
  }
}

/** The path of what is in a folder. @param folder empty for the root */
function below(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`
}

/** `/` and the prefix without its slash lead to the listing of the root. */
export function redirectToListing(app: FastifyInstance, prefix: string): void {
  for (const url of new Set(['/', prefix.slice(0, -1)])) {
    if (url === '' || url === prefix) continue
    app.get(url, (_request, reply) =>
      reply.header('cache-control', 'no-cache').redirect(prefix, 302)
    )
  }
}

/** The whole page, so that its length and its validator are known. It is made in pieces, with turns in between. */
async function render(
  format: ListingFormat,
  prefix: string,
  folder: string,
  entries: readonly ListingEntry[]
): Promise<{ pieces: readonly Buffer[]; bytes: number; etag: string }> {
  const turn = new Turn()
  const hash = createHash('sha256')
  const pieces: Buffer[] = []
  let bytes = 0
  let text = ''
  const add = () => {
    const piece = Buffer.from(text)
    hash.update(piece)
    bytes += piece.length
    pieces.push(piece)
    text = ''
  }
  const lines = format === 'html' ? listingHtml(prefix, folder, entries) : listingJson(entries)
  for (const line of lines) {
    text += line
    if (text.length < pieceChars) continue
    add()
    await turn.isOver()
  }
  add()
  return { pieces, bytes, etag: `"${hash.digest('base64url')}"` }
}

/** GET, HEAD and OPTIONS of files: the one place where a plan meets a source of bytes. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import type { Config } from '../config.ts'
import { contentTypeOf } from '../http/content-type.ts'
import {
  type BodyPart,
  planResponse,
  type Representation,
  type ResponsePlan
} from '../http/plan.ts'
import type { ByteRange } from '../http/range.ts'
import { decodeRequestPath } from '../http/request-path.ts'
import { formatHttpDate, strongEtag } from '../http/validators.ts'
import type { Window } from '../storage/byte-source.ts'
import { countReason } from '../storage/counters.ts'
import { StorageError, systemCode } from '../storage/errors.ts'
import type { OpenFile } from '../storage/open-file.ts'
import type { Storage } from '../storage/storage.ts'
import { ClientGone, sendBody } from './send-body.ts'

const allowedMethods = 'GET, HEAD, OPTIONS'

export interface FilesOptions {
  readonly config: Config
  readonly storage: Storage
  readonly log: Logger
  /** the same for every request; undefined when a hook puts them on each reply */
  readonly corsHeaders: Readonly<Record<string, string>> | undefined
}

export function registerFiles(
  app: FastifyInstance,
  { config, storage, log, corsHeaders }: FilesOptions
): void {
  const { catalog, source, counters } = storage
  const { windowBytes } = config
  const selected = new WeakMap<OpenFile, Selected>()
  const commonHeaders = {
    'cache-control': config.cacheControl,
    'x-content-type-options': 'nosniff',
    ...corsHeaders
  }

  const url = `${config.prefix}*`
  const ownsCors = { config: { cors: corsHeaders === undefined } }
  app.get(url, { exposeHeadRoute: false, ...ownsCors }, handle)
  app.head(url, ownsCors, handle)
  app.options(url, (_request, reply) => reply.code(204).header('allow', allowedMethods).send())
  app.route({
    method: app.supportedMethods.filter((method) => !allowedMethods.includes(method)),
    url,
    // before a body is parsed, which nobody would read
    onRequest: (_request, reply, _done) => {
      reply.header('allow', allowedMethods).methodNotAllowed()
    },
    handler: () => {}
  })

  /** From parsed request to `reply.send` without an await, if the file is known and its bytes are resident. */
  function handle(request: FastifyRequest, reply: FastifyReply): unknown {
    const path = pathOf(request)
    if (path === undefined) throw new StorageError('NOT_FOUND', '', { reason: 'path refused' })
    const file = catalog.known(path)
    if (file !== undefined) {
      const plan = planFor(request, file)
      const window = onlyWindow(plan, file)
      if (window !== undefined) {
        sendWindow(reply, plan, file, window)
        return
      }
    }
    return handleSlowly(request, reply, path)
  }

  async function handleSlowly(request: FastifyRequest, reply: FastifyReply, path: string) {
    for (let attempt = 1; ; attempt++) {
      const file = await catalog.open(path)
      try {
        const plan = planFor(request, file)
        if (plan.body.length === 0) return sendHeadersOnly(reply, plan, file)
        await send(reply, plan, file)
        return reply
      } catch (error) {
        // Changed before anything was sent: the answer is about the new content then. A file that changes
        // faster than it can be read is given up on.
        const hasChanged = error instanceof StorageError && changedCodes.has(error.code)
        if (!hasChanged || attempt === 3) throw error
      } finally {
        file.release()
      }
    }
  }

  function pathOf(request: FastifyRequest): string | undefined {
    // the raw target: decoded once, and by our own rules
    const target = request.raw.url ?? ''
    // a client may send the absolute form (RFC 9112 §3.2.2)
    const start = target.startsWith('/') ? 0 : target.indexOf('/', target.indexOf('//') + 2)
    if (start < 0 || !target.startsWith(config.prefix, start)) return undefined
    const query = target.indexOf('?', start)
    const end = query < 0 ? target.length : query
    return decodeRequestPath(target.slice(start + config.prefix.length, end), config)
  }

  function select(file: OpenFile): Selected {
    let found = selected.get(file)
    if (found === undefined) {
      found = describe(file, commonHeaders)
      selected.set(file, found)
    }
    return found
  }

  function planFor(request: FastifyRequest, file: OpenFile): ResponsePlan {
    const method = request.method === 'HEAD' ? 'HEAD' : 'GET'
    return planResponse(method, request.headers, select(file).representation, config.maxRanges)
  }

  /** The one window that is the whole body, if it can be had at once. */
  function onlyWindow(plan: ResponsePlan, file: OpenFile): Window | undefined {
    const range = onlyRange(plan.body)
    if (range === undefined || range.end - range.start > windowBytes) return undefined
    const window = source.now(file, range.start, range.end)
    if (window === undefined || window.bytes.length === range.end - range.start) return window
    // the range crosses regions
    window.release()
    return undefined
  }

  function sendWindow(
    reply: FastifyReply,
    plan: ResponsePlan,
    file: OpenFile,
    window: Window
  ): void {
    const response = reply.raw
    begin(reply, plan, file)
    response.end(window.bytes)
    const socket = response.socket
    if (socket !== null && socket.writableLength === 0 && socket.errored === null) {
      // The kernel has taken it all: nobody refers to the window any more.
      counters.bodyBytes[window.source] += window.bytes.length
      window.release()
    } else {
      followUp(reply, file, window)
    }
  }

  /** The client is slow, or the file failed: the window is released, and the outcome known, at the end. */
  function followUp(reply: FastifyReply, file: OpenFile, window: Window): void {
    const response = reply.raw
    const socket = response.req.socket
    file.tryRetain()
    response.on('error', () => {})
    const conclude = async () => {
      response.off('finish', conclude)
      socket.off('close', conclude)
      window.release()
      try {
        if (response.writableFinished) {
          counters.bodyBytes[window.source] += window.bytes.length
          // What the kernel took late, it may have taken from another content; it still holds some of it.
          if (window.source === 'mapped' && !(await file.hasSameContent())) {
            throw new StorageError('CHANGED', file.path)
          }
        } else {
          throw socket.errored ?? new ClientGone()
        }
      } catch (error) {
        cut(reply, file, error)
      } finally {
        file.release()
      }
    }
    response.on('finish', conclude)
    socket.on('close', conclude)
  }

  async function send(reply: FastifyReply, plan: ResponsePlan, file: OpenFile): Promise<void> {
    const only = onlyWindow(plan, file) ?? (await onlyWindowLater(plan, file))
    if (only !== undefined) {
      sendWindow(reply, plan, file, only)
      return
    }
    const body = { file, source, parts: plan.body, length: plan.contentLength, windowBytes }
    try {
      await sendBody(
        reply.raw,
        body,
        () => begin(reply, plan, file),
        (from, bytes) => {
          if (from !== undefined) counters.bodyBytes[from] += bytes
        }
      )
    } catch (error) {
      if (!reply.sent && !(error instanceof ClientGone)) throw error
      if (!reply.sent) reply.hijack()
      cut(reply, file, error)
    }
  }

  /** A small range that is cold: read, and sent only if the file is still the one that the headers describe. */
  async function onlyWindowLater(plan: ResponsePlan, file: OpenFile): Promise<Window | undefined> {
    const range = onlyRange(plan.body)
    if (range === undefined || range.end - range.start > windowBytes) return undefined
    const window = await source.later(file, range.start, range.end)
    if (await file.hasSameContent()) return window
    window.release()
    throw new StorageError('CHANGED', file.path)
  }

  /**
   * Status line and headers, past Fastify's reply and as the flat list that node:http takes as it is: a
   * quarter more small hot requests than by `reply.headers().send()`.
   */
  function begin(reply: FastifyReply, plan: ResponsePlan, file: OpenFile): void {
    const headers = select(file).headers.slice()
    if (plan.status !== 304) {
      headers.push('content-type', plan.contentType, 'content-length', `${plan.contentLength}`)
    }
    if (plan.contentRange !== undefined) headers.push('content-range', plan.contentRange)
    if (corsHeaders === undefined) {
      for (const [name, value] of Object.entries(reply.getHeaders())) headers.push(name, `${value}`)
    }
    reply.hijack()
    reply.raw.writeHead(plan.status, headers)
  }

  function sendHeadersOnly(reply: FastifyReply, plan: ResponsePlan, file: OpenFile): FastifyReply {
    const { representation } = select(file)
    switch (plan.status) {
      case 412:
        return reply.header('etag', representation.etag).preconditionFailed()
      case 416:
        return reply
          .headers({ etag: representation.etag, 'accept-ranges': 'bytes' })
          .header('content-range', plan.contentRange)
          .rangeNotSatisfiable()
      default:
        begin(reply, plan, file)
        reply.raw.end()
        return reply
    }
  }

  /** End a connection whose Content-Length will not be reached: the client sees an incomplete body. */
  function cut(reply: FastifyReply, file: OpenFile, error: unknown): void {
    const reason = reasonOf(error)
    countReason(counters.bodyFailures, reason)
    const details = { path: file.path, reason, ...offsetOf(error) }
    if (reason === 'client_gone') log.debug(details, 'the client went before the end')
    else log.warn(details, 'response cut')
    // Reset, not closed: what the kernel holds for a slow client is thrown away as well.
    reply.raw.req.socket.resetAndDestroy()
  }
}

/** What a file is to HTTP, worked out once for each generation. */
interface Selected {
  readonly representation: Representation
  /** name, value, name, value …: what 200, 206 and 304 have in common */
  readonly headers: readonly string[]
}

function describe(file: OpenFile, commonHeaders: Readonly<Record<string, string>>): Selected {
  const { mtimeNs } = file.generation
  const lastModifiedMs = Number(mtimeNs / 1_000_000_000n) * 1000
  const representation = {
    completeLength: file.size,
    etag: strongEtag(file.size, mtimeNs),
    lastModified: formatHttpDate(lastModifiedMs),
    lastModifiedMs,
    contentType: contentTypeOf(file.path)
  }
  const headers = {
    'accept-ranges': 'bytes',
    etag: representation.etag,
    'last-modified': representation.lastModified,
    ...commonHeaders
  }
  return { representation, headers: Object.entries(headers).flat() }
}

const changedCodes: ReadonlySet<string> = new Set(['CHANGED', 'SHORT_READ'])

function onlyRange(body: readonly BodyPart[]): ByteRange | undefined {
  const part = body.length === 1 ? body[0] : undefined
  return part === undefined || part instanceof Uint8Array ? undefined : part
}

function reasonOf(error: unknown): string {
  if (error instanceof ClientGone) return 'client_gone'
  if (error instanceof StorageError) {
    switch (error.code) {
      case 'CHANGED':
        return 'changed'
      case 'SHORT_READ':
        return 'truncated'
      default:
        return 'read_failed'
    }
  }
  switch (systemCode(error)) {
    case 'EFAULT':
      return 'truncated'
    case 'ECONNRESET':
    case 'EPIPE':
    case 'ERR_STREAM_DESTROYED':
    case 'ERR_STREAM_PREMATURE_CLOSE':
      return 'client_gone'
    default:
      return 'other'
  }
}

function offsetOf(error: unknown): { offset?: number } {
  const offset = error instanceof StorageError ? error.offset : undefined
  return offset === undefined ? {} : { offset }
}

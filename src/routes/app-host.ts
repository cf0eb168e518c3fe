/** Answers about files within somebody else's app: its hooks run, and its handlers answer errors. */
import { STATUS_CODES } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Answer, FileRequest } from '../delivery/answer.ts'
import { refusalFor } from '../delivery/failure.ts'
import { errorFields, ownFields } from '../delivery/headers.ts'
import type { Counters } from '../storage/counters.ts'
import { StorageError } from '../storage/errors.ts'
import type { BasicRequest, FilesHost } from './file-answers.ts'
import type { Listing } from './listing.ts'
import { hasOnSend, runOnSend } from './on-send.ts'
import type { MmapRangesOptions } from './plugin-options.ts'
import { addFields } from './service-host.ts'

export interface AppHostOptions {
  readonly cacheControl: string
  readonly setHeaders: MmapRangesOptions['setHeaders'] | undefined
  readonly counters: Counters
}

/** An error that the app's error handler answers; no message has a path of the machine in it. */
export class FileError extends Error {
  readonly statusCode: number
  readonly code: string

  constructor(statusCode: number, code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'FileError'
    this.statusCode = statusCode
    this.code = code
  }
}

/** @param listing answers for folders; undefined: they are not found */
export function appHost(options: AppHostOptions, listing?: Listing): FilesHost<AppRequest> {
  return {
    requestOf: (basic, _request, reply) => new AppRequest(basic, reply, options),
    refuse: (answer, reply, asked) => {
      asked.forget()
      addFields(reply, errorFields(answer))
      const { status } = answer.plan
      const name = status === 412 ? 'PRECONDITION_FAILED' : 'RANGE_NOT_SATISFIABLE'
      throw new FileError(status, `MMAP_RANGES_${name}`, STATUS_CODES[status] as string)
    },
    fail: async (error, request, reply, asked, path) => {
      asked?.forget()
      let failure = error
      try {
        const listed = isMissing(error) ? await listing?.answer(request, reply, path) : undefined
        if (listed !== undefined) return listed
      } catch (ofListing) {
        failure = ofListing
      }
      return fail(failure, request, reply)
    }
  }

  function fail(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
    if (!(error instanceof StorageError)) throw error
    const refusal = refusalFor(error, { log: request.log, counters: options.counters })
    if (refusal.status === 404) {
      reply.callNotFound()
      return reply
    }
    if (refusal.retryAfter !== undefined) reply.header('retry-after', refusal.retryAfter)
    throw new FileError(refusal.status, `MMAP_RANGES_${error.code}`, refusal.message)
  }
}

/** For a listing. @throws what the app's error handler answers */
export function refuseListing(_reply: FastifyReply, status: 403 | 412, message: string): never {
  const name = status === 412 ? 'PRECONDITION_FAILED' : 'FOLDER_TOO_LARGE'
  throw new FileError(status, `MMAP_RANGES_${name}`, message)
}

function isMissing(error: unknown): boolean {
  return error instanceof StorageError && error.code === 'NOT_FOUND'
}

// What the delivery says of a file, and nobody else.
const ownedFields: ReadonlySet<string> = new Set([
  'accept-ranges',
  'content-length',
  'content-range',
  'content-type',
  'etag',
  'last-modified',
  'transfer-encoding'
])

type Headers = Readonly<Record<string, string | string[] | number | undefined>>

/** A request whose answer carries what `setHeaders` and the app's hooks have put on the reply. */
export class AppRequest implements FileRequest {
  readonly exchange: BasicRequest['exchange']
  readonly sink: BasicRequest['sink']
  readonly method: BasicRequest['method']
  readonly fields: BasicRequest['fields']
  readonly #reply: FastifyReply
  readonly #options: AppHostOptions
  /** of the reply, before anything of the file was put on it */
  #before: Headers | undefined
  #isPrepared = false
  #preparing: Promise<void> | undefined
  contentType: string | undefined
  extraFields: readonly string[] = []

  constructor(basic: BasicRequest, reply: FastifyReply, options: AppHostOptions) {
    this.exchange = basic.exchange
    this.sink = basic.sink
    this.method = basic.method
    this.fields = basic.fields
    this.#reply = reply
    this.#options = options
    this.contentType = typeOn(reply)
  }

  prepare(answer: Answer): Promise<void> | undefined {
    if (this.#isPrepared || this.#preparing !== undefined) return this.#preparing
    const reply = this.#reply
    const { setHeaders } = this.#options
    const hasHooks = hasOnSend(reply.request)
    if (hasHooks || setHeaders !== undefined) this.#before = headersOf(reply)
    if (setHeaders !== undefined) {
      const { path, size, freshness } = answer.file
      setHeaders(reply, { path, size, modifiedAt: new Date(freshness.mtimeMs) })
      this.contentType = typeOn(reply)
    }
    if (!hasHooks) {
      this.#finish(this.#defaults())
      return undefined
    }
    this.#preparing = this.#runHooks(answer)
    // whoever waits for it hears of its failure, some turns later
    this.#preparing.catch(() => {})
    return this.#preparing
  }

  /** It has become an error: the reply is as it was before the file. */
  forget(): void {
    if (this.#before === undefined) return
    for (const name of Object.keys(this.#reply.getHeaders())) this.#reply.removeHeader(name)
    for (const [name, value] of Object.entries(this.#before)) this.#reply.header(name, value)
  }

  /** They see status and fields as they would be now, and may change what is not in `ownedFields`. */
  async #runHooks({ plan, selected, ...answer }: Answer): Promise<void> {
    const reply = this.#reply
    reply.code(plan.status)
    addFields(reply, selected.common.fields)
    const { contentType } = this
    addFields(reply, ownFields({ plan, selected, ...answer }, undefined, false))
    const isOfFile = !plan.contentType.startsWith('multipart/byteranges')
    if (contentType !== undefined && isOfFile) reply.header('content-type', contentType)
    for (const [name, value] of this.#defaults()) {
      if (!reply.hasHeader(name)) reply.header(name, value)
    }
    const shownType = typeOn(reply)
    await runOnSend(reply.request, reply)
    if (typeOn(reply) !== shownType) this.contentType = typeOn(reply)
    this.#preparing = undefined
    this.#finish([])
  }

  /** @param defaults fields for which the reply has no others */
  #finish(defaults: readonly (readonly [name: string, value: string])[]): void {
    const headers: Headers = this.#reply.getHeaders()
    const fields: string[] = []
    for (const name in headers) {
      if (ownedFields.has(name)) continue
      const value = headers[name]
      if (Array.isArray(value)) for (const each of value) fields.push(name, each)
      else if (value !== undefined) fields.push(name, `${value}`)
    }
    for (const [name, value] of defaults) {
      if (headers[name] === undefined) fields.push(name, value)
    }
    this.extraFields = fields
    this.#isPrepared = true
  }

  #defaults(): readonly (readonly [name: string, value: string])[] {
    return [
      ['cache-control', this.#options.cacheControl],
      ['x-content-type-options', 'nosniff']
    ]
  }
}

function typeOn(reply: FastifyReply): string | undefined {
  const type = reply.getHeader('content-type')
  return type === undefined ? undefined : `${type}`
}

function headersOf(reply: FastifyReply): Headers {
  return Object.fromEntries(
    Object.entries(reply.getHeaders()).map(([name, value]) => [
      name,
      // Fastify adds to the array itself
      Array.isArray(value) ? [...value] : value
    ])
  )
}

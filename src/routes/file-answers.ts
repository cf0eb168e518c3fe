/** From Fastify's request for a file to a delivery, and from its refusals to whoever answers them. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Answer, FileRequest } from '../delivery/answer.ts'
import type { Delivered, Delivery, Waiting } from '../delivery/deliver.ts'
import type { Exchange } from '../metrics/exchange.ts'
import type { Observer } from '../metrics/observer.ts'
import { exchangeOf, follow } from '../plugins/follow.ts'
import type { Catalog } from '../storage/catalog.ts'
import { StorageError } from '../storage/errors.ts'
import { sinkFor, turnOf } from './response-sink.ts'

/** What of a request is the same whoever serves it. */
export type BasicRequest = Pick<FileRequest, 'exchange' | 'sink' | 'method' | 'fields'>

/** Whose files they are: the service's, or those of an app that has the plugin. */
export interface FilesHost<Requested extends FileRequest = FileRequest> {
  requestOf(basic: BasicRequest, request: FastifyRequest, reply: FastifyReply): Requested
  /** Answers 412 and 416. @throws an error that Fastify's error handler answers */
  refuse(answer: Answer, reply: FastifyReply, asked: Requested): FastifyReply
  /**
   * Answers an error before the first byte.
   * @param asked undefined when it failed before that
   * @param path of the file; undefined: refused
   * @throws an error that Fastify's error handler answers
   */
  fail(
    error: unknown,
    request: FastifyRequest,
    reply: FastifyReply,
    asked: Requested | undefined,
    path: string | undefined
  ): FastifyReply | Promise<FastifyReply>
}

export interface FileAnswersOptions<Requested extends FileRequest = FileRequest> {
  readonly catalog: Catalog
  readonly delivery: Delivery
  readonly observer: Observer
  readonly host: FilesHost<Requested>
}

export class FileAnswers<Requested extends FileRequest = FileRequest> {
  readonly #options: FileAnswersOptions<Requested>

  constructor(options: FileAnswersOptions<Requested>) {
    this.#options = options
  }

  /**
   * From parsed request to the socket without an await, if the file is known and its bytes are resident.
   * @param path of the file, as `decodeRequestPath` gives it; undefined: refused by it
   * @param route the pattern of the route
   * @returns undefined when the answer is on its way; otherwise what a handler of Fastify returns
   */
  give(
    request: FastifyRequest,
    reply: FastifyReply,
    path: string | undefined,
    route: string
  ): Promise<unknown> | undefined {
    const { catalog, delivery, observer, host } = this.#options
    const exchange = exchangeOf(observer, request, route)
    const turn = turnOf(reply.raw)
    if (turn !== undefined || path === undefined) {
      return this.#giveSlowly(exchange, request, reply, path, { turn })
    }
    const file = catalog.tryOpen(path)
    if (file === undefined) return this.#giveSlowly(exchange, request, reply, path)
    const asked = this.#requestOf(exchange, request, reply)
    let delivered: Delivered | Waiting
    try {
      delivered = delivery.tryNow(asked, file)
    } catch (error) {
      follow(observer, request, reply, exchange)
      return settled(() => host.fail(error, request, reply, asked, path))
    } finally {
      file.release()
    }
    if (delivered === 'done') return undefined
    if (typeof delivered === 'string') {
      return this.#giveSlowly(exchange, request, reply, path, { asked, tried: delivered })
    }
    const refused = delivered
    follow(observer, request, reply, exchange)
    return settled(() => host.refuse(refused, reply, asked))
  }

  async #giveSlowly(
    exchange: Exchange,
    request: FastifyRequest,
    reply: FastifyReply,
    path: string | undefined,
    {
      turn,
      asked,
      tried
    }: {
      readonly turn?: Promise<boolean> | undefined
      readonly asked?: Requested
      readonly tried?: Waiting
    } = {}
  ): Promise<unknown> {
    const { delivery, observer, host } = this.#options
    follow(observer, request, reply, exchange)
    if (turn !== undefined && !(await turn)) return reply.hijack()
    let fileRequest = asked
    let delivered: Delivered
    try {
      if (path === undefined) throw new StorageError('NOT_FOUND', '', { reason: 'path refused' })
      fileRequest ??= this.#requestOf(exchange, request, reply)
      delivered = await delivery.deliver(fileRequest, path, tried)
    } catch (error) {
      return host.fail(error, request, reply, fileRequest, path)
    }
    if (delivered !== 'done') return host.refuse(delivered, reply, fileRequest)
    // a client that went before the first byte: there is nothing to answer
    if (!reply.sent) reply.hijack()
    return reply
  }

  #requestOf(exchange: Exchange, request: FastifyRequest, reply: FastifyReply): Requested {
    const basic = {
      exchange,
      sink: sinkFor(reply.raw, () => void reply.hijack()),
      method: request.method === 'HEAD' ? 'HEAD' : 'GET',
      fields: request.headers
    } as const
    return this.#options.host.requestOf(basic, request, reply)
  }
}

/** What a handler of Fastify returns that has answered or failed at once. */
async function settled(work: () => FastifyReply | Promise<FastifyReply>): Promise<unknown> {
  return work()
}

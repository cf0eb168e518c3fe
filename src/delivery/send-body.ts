/**
 * Sends a body that does not fit one window at once: window after window, each handed over only when the
 * kernel has taken the one before, and each after a look at the file's generation. So a client of any speed
 * costs one window, and what has changed is cut, never spliced.
 */
import type { ServerResponse } from 'node:http'
import type { BodyPart } from '../http/plan.ts'
import type { Exchange } from '../metrics/exchange.ts'
import type { ByteSource, Window } from '../storage/byte-source.ts'
import { StorageError, systemCode } from '../storage/errors.ts'
import type { OpenFile } from '../storage/open-file.ts'

export interface Body {
  readonly file: OpenFile
  readonly source: ByteSource
  readonly parts: readonly BodyPart[]
  /** bytes of all parts together */
  readonly length: number
  /** most bytes handed over before the kernel has taken them */
  readonly windowBytes: number
  readonly exchange: Exchange
  readonly measuresFaults: boolean
}

export interface Progress {
  /**
   * Writes the status line and headers; called once, after the first window was had, so that a failure before
   * it can still be answered with an error status.
   */
  begin(first: Window['source'] | undefined): void
  /** bytes of the file that the kernel has taken */
  sent(source: Window['source'], bytes: number): void
}

// A mapped window shows the file as it is when the kernel copies it, which for a slow client is later than
// the check. So these last bytes are a copy, made when all before them has been taken and sent only if the
// generation still holds: an answer that could be spliced never becomes complete.
const tailBytes = 4096

/**
 * @throws StorageError when the file failed or changed; ClientGone when the connection closed
 */
export async function sendBody(
  response: ServerResponse,
  body: Body,
  progress: Progress
): Promise<void> {
  const batches = nextBatches(body)
  const connection = new Connection(response)
  let hasBegun = false
  let batch: readonly Piece[] = []
  try {
    for await (batch of batches) {
      connection.assertOpen()
      if (!hasBegun) progress.begin(batch.find((piece) => piece.source !== undefined)?.source)
      hasBegun = true
      const taken = withFaults(body, () => connection.write(batch))
      body.exchange.firstByteAtMs ??= performance.now()
      await taken
      for (const { source, bytes } of batch) {
        if (source !== undefined) progress.sent(source, bytes.length)
      }
      releaseAll(batch)
      batch = []
    }
    response.end()
  } catch (error) {
    throw systemCode(error) === 'EFAULT'
      ? new StorageError('SHORT_READ', body.file.path, { reason: 'EFAULT', cause: error })
      : error
  } finally {
    releaseAll(batch)
    connection.forget()
  }
}

/** The connection closed before the answer was complete: the client's right. */
export class ClientGone extends Error {}

/**
 * Why a connection failed: EFAULT is the file's doing (a mapped page is gone), all else means that nobody
 * reads any more, whatever this Node calls it.
 */
export function connectionFailure(error: unknown): Error {
  return systemCode(error) === 'EFAULT' ? (error as Error) : new ClientGone('', { cause: error })
}

/** Bytes in memory, or a window. */
interface Piece {
  readonly bytes: Uint8Array
  readonly source?: Window['source']
  release?(): void
}

function releaseAll(batch: readonly Piece[]): void {
  for (const piece of batch) piece.release?.()
}

/** Pieces that are handed over together, about one window of bytes, all of the file's first generation. */
async function* nextBatches(body: Body): AsyncGenerator<readonly Piece[]> {
  let batch: Piece[] = []
  let batchBytes = 0
  let hasBegun = false
  try {
    for (const { part, isTail } of splitTail(body)) {
      if (isTail && batchBytes > 0) {
        await assertSameContent(body.file)
        yield takeBatch()
      }
      if (part instanceof Uint8Array) {
        batch.push({ bytes: part })
        batchBytes += part.length
        continue
      }
      for (let at = part.start; at < part.end; ) {
        const window = await nextWindow(body, at, part.end, { isTail, mayRefuse: !hasBegun })
        hasBegun = true
        batch.push(window)
        batchBytes += window.bytes.length
        at += window.bytes.length
        if (batchBytes < body.windowBytes) continue
        await assertSameContent(body.file)
        yield takeBatch()
      }
    }
    await assertSameContent(body.file)
    if (batch.length > 0) yield takeBatch()
  } finally {
    releaseAll(batch)
  }

  function takeBatch(): readonly Piece[] {
    const taken = batch
    batch = []
    batchBytes = 0
    return taken
  }
}

async function nextWindow(
  body: Body,
  at: number,
  end: number,
  { isTail, mayRefuse }: { readonly isTail: boolean; readonly mayRefuse: boolean }
): Promise<Window> {
  const { file, source, exchange } = body
  if (isTail) return source.later(file, at, end)
  const window = withFaults(body, () => {
    const found = source.now(file, at, end)
    if (body.measuresFaults) found?.faultIn?.()
    return found
  })
  if (window === undefined) exchange.coldWindows++
  else exchange.residentWindows++
  return window ?? source.later(file, at, end, mayRefuse)
}

function withFaults<T>(body: Body, work: () => T): T {
  return body.measuresFaults ? body.exchange.measureFaults(work) : work()
}

/** The parts of a body, the last bytes of its last range apart where they must be a copy. */
function* splitTail({ parts, source, length, windowBytes }: Body) {
  const needsTail = source.sendsMapped && length > windowBytes
  const last = parts.findLastIndex((part) => !(part instanceof Uint8Array))
  for (const [index, part] of parts.entries()) {
    if (part instanceof Uint8Array || index !== last || !needsTail) {
      yield { part, isTail: false }
      continue
    }
    const split = Math.max(part.start, part.end - tailBytes)
    if (split > part.start) yield { part: { start: part.start, end: split }, isTail: false }
    yield { part: { start: split, end: part.end }, isTail: true }
  }
}

async function assertSameContent(file: OpenFile): Promise<void> {
  const answer = file.hasSameContent()
  if (!(typeof answer === 'boolean' ? answer : await answer)) {
    throw new StorageError('CHANGED', file.path)
  }
}

/** The socket under a response, whose closing ends every wait. */
class Connection {
  readonly #response: ServerResponse
  readonly #socket: ServerResponse['req']['socket']
  #fail: ((error: Error) => void) | undefined

  constructor(response: ServerResponse) {
    this.#response = response
    // The request's, because a pipelined response has none before its turn.
    this.#socket = response.req.socket
    this.#socket.on('close', this.#whenClosed)
    // A write that fails is told to its callback; without a listener the same error would end the process.
    response.on('error', ignore)
  }

  assertOpen(): void {
    if (this.#socket.destroyed) throw new ClientGone()
  }

  /** Resolves when the kernel has taken every byte. */
  write(batch: readonly Piece[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#fail = reject
      const response = this.#response
      const last = batch.length - 1
      if (last > 0) response.cork()
      for (const [index, piece] of batch.entries()) {
        if (index < last) response.write(piece.bytes)
        else
          response.write(piece.bytes, (error) =>
            error ? reject(connectionFailure(error)) : resolve()
          )
      }
      if (last > 0) response.uncork()
    })
  }

  forget(): void {
    this.#socket.off('close', this.#whenClosed)
  }

  readonly #whenClosed = () => {
    this.#fail?.(connectionFailure(this.#socket.errored))
  }
}

function ignore(): void {}

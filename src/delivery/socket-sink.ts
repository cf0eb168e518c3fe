/** A sink for a plain TCP socket: the kernel is handed memory directly, so that it is known what it took. */
import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { addressOf, errorName } from '../storage/native/libc.ts'
import { sendNow } from '../storage/native/sockets.ts'
import { type FieldBlock, SendError, type Sink } from './sink.ts'

// The text in front of a window: header fields, or the framing of a part. One buffer for all sinks, because it is
// filled and sent within one call.
const headBytes = Buffer.alloc(16 * 1024)
const headAddress = addressOf(headBytes)

// Time-outs are minutes: so seldom is enough.
const keepAliveStepMs = 1000

export abstract class SocketSink implements Sink {
  readonly canSendNow = true
  readonly #socket: Socket
  readonly #fd: number
  readonly #closing: EventEmitter
  /** Latin-1, to be sent before anything else */
  #head = ''
  #keptAliveMs = performance.now()
  #abortController: AbortController | undefined
  #rejectWrite: ((error: SendError) => void) | undefined

  /**
   * @param fd `descriptorOf(socket)`
   * @param closing emits `close` when this answer can go on no more; default: the socket
   */
  constructor(socket: Socket, fd: number, closing: EventEmitter = socket) {
    this.#socket = socket
    this.#fd = fd
    this.#closing = closing
  }

  abstract begin(status: number, common: FieldBlock, own: readonly string[]): void
  abstract end(): void

  get signal(): AbortSignal {
    if (this.#abortController === undefined) {
      this.#abortController = new AbortController()
      if (this.#socket.destroyed) this.#abortController.abort()
      else this.#closing.once('close', this.#whenClosed)
    }
    return this.#abortController.signal
  }

  /** Text that is sent before the next bytes. */
  append(text: string): void {
    this.#head += text
  }

  /** What was appended and not sent yet; it is the caller's from now on. */
  protected takeHead(): string {
    const head = this.#head
    this.#head = ''
    return head
  }

  sendNow(address: number, length: number): number {
    if (this.#socket.destroyed) throw new SendError('client_gone')
    // what waits in the socket comes first
    if (this.#socket.writableLength > 0 || this.#head.length > headBytes.length) return 0
    const headLength = headBytes.write(this.#head, 'latin1')
    const taken = sendNow(this.#fd, headAddress, headLength, address, length)
    if (taken < 0) throw sendError(-taken)
    if (taken < headLength) {
      this.#head = this.#head.slice(taken)
      return 0
    }
    this.#head = ''
    if (taken > headLength) this.#keepAlive()
    return taken - headLength
  }

  /** Bytes that go past the socket do not put off its time-out, which is for connections on which nothing moves. */
  #keepAlive(): void {
    const now = performance.now()
    if (now - this.#keptAliveMs < keepAliveStepMs) return
    this.#keptAliveMs = now
    if (this.#socket.timeout) this.#socket.setTimeout(this.#socket.timeout)
  }

  write(bytes: Uint8Array): Promise<void> {
    const socket = this.#socket
    // so that its end ends the wait
    if (this.signal.aborted) return Promise.reject(new SendError('client_gone'))
    return new Promise((resolve, reject) => {
      this.#rejectWrite = reject
      const head = this.takeHead()
      socket.cork()
      if (head !== '') socket.write(head, 'latin1')
      socket.write(bytes, (error) => {
        if (error) reject(new SendError('client_gone', { cause: error }))
        else resolve()
      })
      socket.uncork()
    })
  }

  abort(): void {
    this.#socket.resetAndDestroy()
  }

  /** Nothing more is sent by this sink: its socket may outlive it. */
  protected detach(): void {
    if (this.#abortController !== undefined) this.#closing.off('close', this.#whenClosed)
  }

  /** Send what was appended and has no bytes of a file behind it. */
  protected flush(): void {
    if (this.#head === '') return
    try {
      this.sendNow(headAddress, 0)
      if (this.#head !== '') this.#socket.write(this.takeHead(), 'latin1')
    } catch (error) {
      // nobody is left to read it: the socket closes by itself
      if (!(error instanceof SendError)) throw error
    }
  }

  readonly #whenClosed = () => {
    this.#abortController?.abort()
    this.#rejectWrite?.(new SendError('client_gone'))
  }
}

/**
 * The descriptor of a plain TCP socket. Node has no public way to it; `_handle.fd` is what libuv's streams have had
 * since the first versions, and where it is missing, answers go by way of the socket's own `write`.
 * @returns undefined for everything else: TLS, a pipe that is closed, a socket that a test made up
 */
export function descriptorOf(socket: Socket): number | undefined {
  if ('encrypted' in socket) return undefined
  const fd = (socket as unknown as { _handle?: { fd?: unknown } | null })._handle?.fd
  return typeof fd === 'number' && fd >= 0 ? fd : undefined
}

function sendError(errno: number): SendError {
  const name = errorName(errno)
  return new SendError(name === 'EFAULT' ? 'truncated' : 'client_gone', { cause: new Error(name) })
}

/**
 * An HTTP client that owns its socket: it reads only while it is asked to, with segments and a receive buffer
 * as small as a test wants, which Node's own sockets cannot have. It parses answers by their Content-Length.
 */
import assert from 'node:assert/strict'
import net from 'node:net'
import koffi from 'koffi'
import type { Lifetime } from './serve.ts'

export interface RawClientOptions {
  /** TCP_MAXSEG, bytes; also keeps the send buffer of the other side small */
  readonly maxSegment?: number
  /** SO_RCVBUF, bytes; the kernel doubles it */
  readonly receiveBuffer?: number
}

/** What makes the kernel of the server take a long answer piece by piece; see `widen`. */
export const smallBuffers: RawClientOptions = { maxSegment: 1400, receiveBuffer: 4096 }

export interface Head {
  readonly status: number
  /** by name in lower case; of a repeated field the last */
  readonly headers: ReadonlyMap<string, string>
  /** bytes of the body that follows */
  readonly contentLength: number
}

export interface RawAnswer extends Head {
  readonly body: Buffer
  /** whether all of the body came before the connection ended */
  readonly isComplete: boolean
}

const libc = koffi.load(null)
const openSocket = libc.func('int socket(int domain, int type, int protocol)')
const setOption = libc.func(
  'int setsockopt(int fd, int level, int name, const void *value, uint32_t length)'
)
const connectSocket = libc.func('int connect(int fd, const void *address, uint32_t length)')

// <sys/socket.h>, <netinet/tcp.h>
const AF_INET = 2
const SOCK_STREAM = 1
const SOCK_CLOEXEC = 0o2000000
const SOL_SOCKET = 1
const SO_RCVBUF = 8
const IPPROTO_TCP = 6
const TCP_MAXSEG = 2

// What a connection is waited for before it counts as hanging: much longer than any answer takes.
const patienceMs = 20_000

export class RawClient {
  readonly #fd: number
  readonly #socket: net.Socket
  #chunks: Buffer[] = []
  #bytes = 0
  #wantedBytes = 0
  #wake: (() => void) | undefined
  #isClosed = false

  private constructor(fd: number) {
    this.#fd = fd
    const onread = { buffer: Buffer.alloc(64 * 1024), callback: this.#whenRead }
    // The declared type allows onread only in connect(); the constructor takes it too.
    const options = { fd, readable: true, writable: true, onread } as net.SocketConstructorOpts
    this.#socket = new net.Socket(options)
    this.#socket.pause()
    this.#socket.on('error', () => {}) // a reset is an outcome here: "close" follows
    this.#socket.on('close', () => {
      this.#isClosed = true
      this.#wake?.()
    })
  }

  /** @param origin of a server on 127.0.0.1 */
  static connect(t: Lifetime, origin: string, options: RawClientOptions = {}): RawClient {
    const { maxSegment, receiveBuffer } = options
    const fd = openSocket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) as number
    assert.ok(fd >= 0, `socket: errno ${koffi.errno()}`)
    // both before connect(2): the handshake carries them
    if (maxSegment !== undefined) setInteger(fd, IPPROTO_TCP, TCP_MAXSEG, maxSegment)
    if (receiveBuffer !== undefined) setInteger(fd, SOL_SOCKET, SO_RCVBUF, receiveBuffer)
    const address = Buffer.alloc(16)
    address.writeUInt16LE(AF_INET, 0)
    address.writeUInt16BE(Number(new URL(origin).port), 2)
    address.set([127, 0, 0, 1], 4)
    assert.equal(connectSocket(fd, address, address.length), 0, `connect: errno ${koffi.errno()}`)
    const client = new RawClient(fd)
    t.after(() => client.reset())
    return client
  }

  /**
   * Give a connection with a small receive buffer a large one, before the rest of an answer is read: the rest is
   * then here when the server learns that it has sent it, and can no longer be cut.
   * @param receiveBuffer SO_RCVBUF, bytes
   */
  widen(receiveBuffer = 4 * 2 ** 20): void {
    if (!this.#isClosed) setInteger(this.#fd, SOL_SOCKET, SO_RCVBUF, receiveBuffer)
  }

  /** Not awaited: the server may be too busy to read it. */
  send(text: string): void {
    this.#socket.write(text)
  }

  /** A GET on a connection that is kept. */
  get(path: string, fields: Readonly<Record<string, string>> = {}): void {
    this.send(requestText(path, fields))
  }

  /** @returns status line and fields of the next answer; undefined when the connection ends before */
  async head(): Promise<Head | undefined> {
    for (;;) {
      const received = this.#received()
      const end = received.indexOf('\r\n\r\n')
      if (end >= 0) {
        this.#drop(end + 4)
        return parseHead(received.toString('latin1', 0, end))
      }
      if (this.#isClosed) return undefined
      await this.#fill(this.#bytes + 1)
    }
  }

  /** Read the next bytes of a body; fewer than wanted when the connection ends before. */
  async read(bytes: number): Promise<Buffer> {
    await this.#fill(bytes)
    const received = this.#received()
    const taken = received.subarray(0, bytes)
    this.#drop(taken.length)
    return taken
  }

  /** The rest of an answer whose head was read. @param begun what was read of its body already */
  async rest(head: Head, begun: Buffer = Buffer.alloc(0)): Promise<RawAnswer> {
    const body = Buffer.concat([begun, await this.read(head.contentLength - begun.length)])
    return { ...head, body, isComplete: body.length === head.contentLength }
  }

  /** The next answer, whole; undefined when the connection ends before its head. */
  async answer(): Promise<RawAnswer | undefined> {
    const head = await this.head()
    return head === undefined ? undefined : await this.rest(head)
  }

  reset(): void {
    this.#socket.resetAndDestroy()
  }

  #received(): Buffer {
    if (this.#chunks.length !== 1) this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0] as Buffer
  }

  #drop(bytes: number): void {
    this.#chunks = [this.#received().subarray(bytes)]
    this.#bytes -= bytes
  }

  async #fill(bytes: number): Promise<void> {
    if (this.#bytes >= bytes || this.#isClosed) return
    this.#wantedBytes = bytes
    const before = this.#bytes
    await new Promise<void>((resolve, reject) => {
      const hangs = () => reject(new Error(`hangs after ${this.#bytes - before} of ${bytes} bytes`))
      const timer = setTimeout(hangs, patienceMs)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
      this.#socket.resume()
    })
    this.#wake = undefined
  }

  /** @returns false to read no further */
  readonly #whenRead = (count: number, buffer: Uint8Array): boolean => {
    this.#chunks.push(Buffer.from(buffer.subarray(0, count)))
    this.#bytes += count
    if (this.#bytes < this.#wantedBytes) return true
    this.#wake?.()
    return false
  }
}

export function requestText(path: string, fields: Readonly<Record<string, string>> = {}): string {
  const lines = Object.entries({ Host: 'localhost', ...fields }).map(
    ([name, value]) => `${name}: ${value}\r\n`
  )
  return `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
}

function parseHead(text: string): Head {
  const [statusLine, ...lines] = text.split('\r\n') as [string, ...string[]]
  const status = /^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1]
  assert.ok(status !== undefined, `not a status line: ${JSON.stringify(statusLine)}`)
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    })
  )
  const length = headers.get('content-length') ?? '0'
  assert.match(length, /^\d+$/)
  return { status: Number(status), headers, contentLength: Number(length) }
}

function setInteger(fd: number, level: number, name: number, value: number): void {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32LE(value)
  assert.equal(setOption(fd, level, name, bytes, 4), 0, `setsockopt: errno ${koffi.errno()}`)
}

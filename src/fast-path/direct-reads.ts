/**
 * Reading from a socket without its stream: all connections are read into one buffer, whose bytes are looked at in the
 * same call. By way of the stream each read takes 64 KiB from malloc, two objects and a tick, a twelfth of all small
 * hot requests. This is what `onread` of `net.connect` does, which connections of a server cannot be given; so this file
 * knows where node:net keeps it.
 */
import { Socket } from 'node:net'

/** Called with bytes that are valid until it returns. */
type Taker = (bytes: Buffer) => void

interface ReadableHandle {
  /** From now on reads go to this buffer, and JavaScript is told how long they were. */
  useUserBuffer(buffer: Uint8Array): void
}

// as much as libuv reads at once
const buffer = Buffer.alloc(64 * 1024)

const { kBuffer, kBufferCb } = symbolsOf(new Socket())

/**
 * @param socket of a server, which nobody has read from; it must not be read in another way
 * @returns whether it can be done; where not (another kind of socket, another Node), nothing has happened
 */
export function readDirectly(socket: Socket, take: Taker): boolean {
  const handle = (socket as unknown as { _handle?: Partial<ReadableHandle> | null })._handle
  if (kBuffer === undefined || kBufferCb === undefined) return false
  if (!(socket instanceof Socket) || handle?.useUserBuffer === undefined) return false
  handle.useUserBuffer(buffer)
  Object.assign(socket, {
    [kBuffer]: buffer,
    [kBufferCb]: (length: number) => take(buffer.subarray(0, length))
  })
  // for the end of the stream to be told
  socket.resume()
  return true
}

/**
 * The socket is a stream again, for whoever reads it from now on. The parser of node:http reads from the handle itself;
 * should it let go of it, the bytes come this way.
 */
export function readAsStream(socket: Socket): void {
  if (kBufferCb === undefined) return
  Object.assign(socket, {
    [kBufferCb]: (length: number) => socket.push(Buffer.from(buffer.subarray(0, length)))
  })
}

/** What node:net calls its own members for `onread`, the same from Node 20 to 26. */
function symbolsOf(socket: Socket): Partial<Record<'kBuffer' | 'kBufferCb', symbol>> {
  return Object.fromEntries(
    Object.getOwnPropertySymbols(socket).map((symbol) => [symbol.description, symbol])
  )
}

/** The sink of a connection on the fast path: it makes the head that node:http would make. */
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FieldBlock } from '../delivery/sink.ts'
import { fieldLines } from '../delivery/sink.ts'
import { SocketSink } from '../delivery/socket-sink.ts'

const statusLines = new Map<number, string>()

function statusLine(status: number): string {
  let line = statusLines.get(status)
  if (line === undefined) {
    line = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`
    statusLines.set(status, line)
  }
  return line
}

let dateSecond = 0
let dateField = ''

/** The Date field, made once a second. */
function dateLine(): string {
  const second = Math.floor(Date.now() / 1000)
  if (second !== dateSecond) {
    dateSecond = second
    dateField = `Date: ${new Date(second * 1000).toUTCString()}\r\n`
  }
  return dateField
}

const closeLine = 'Connection: close\r\n'

export class FastSink extends SocketSink {
  readonly #connectionLines: string
  /** whether the connection ends with the answer that begins next */
  closes = false
  readonly #whenEnded: () => void

  /**
   * @param connectionLines fields about a connection that goes on, which stand last in a head
   * @param whenEnded called when the response is complete
   */
  constructor(socket: Socket, fd: number, connectionLines: string, whenEnded: () => void) {
    super(socket, fd)
    this.#connectionLines = connectionLines
    this.#whenEnded = whenEnded
  }

  begin(status: number, common: FieldBlock, own: readonly string[]): void {
    const connectionLines = this.closes ? closeLine : this.#connectionLines
    this.append(
      `${statusLine(status)}${common.text}${fieldLines(own)}${dateLine()}${connectionLines}\r\n`
    )
  }

  /** The socket is somebody else's from now on. */
  release(): void {
    this.detach()
  }

  end(): void {
    this.flush()
    this.#whenEnded()
  }
}

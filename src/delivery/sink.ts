/** Where a delivery writes: one response on one connection, of any kind. */

/** Header fields, in the two forms in which they are sent. */
export interface FieldBlock {
  /** name, value, name, value … */
  readonly fields: readonly string[]
  /** the same as lines, each ended by CRLF */
  readonly text: string
}

export interface Sink {
  /**
   * Whether the kernel can be handed memory directly, so that it is known what it took: a plain TCP socket of this
   * process. Elsewhere (TLS, HTTP/2, a request injected by a test) only copies may be sent.
   */
  readonly canSendNow: boolean
  /** Aborted when the connection closes. */
  readonly signal: AbortSignal

  /**
   * Status line and header fields; they leave with the first bytes of the body, or with `end`.
   * @param common what the answer has in common with others about its file
   * @param own name, value, name, value …; they follow the common ones
   */
  begin(status: number, common: FieldBlock, own: readonly string[]): void

  /** Text of the body, of ASCII alone; it leaves with the next bytes, or with `end`. */
  append(text: string): void

  /**
   * Offer bytes in memory to the kernel, which copies what it has room for, at once.
   * Only with `canSendNow`, and never while a `write` is not done.
   * @param address of the first byte, which JavaScript must not be able to change or free before the call returns
   * @returns how many of them it took, from 0 to `length`; the others are still the caller's
   * @throws SendError
   */
  sendNow(address: number, length: number): number

  /**
   * Send a copy. The buffer is the sink's until the promise is settled.
   * @returns when the kernel has taken all of it
   * @throws SendError
   */
  write(bytes: Uint8Array): Promise<void>

  /** The response is complete: the connection goes on to its next request. */
  end(): void

  /** Reset the connection: what the kernel still holds of it is thrown away as well. */
  abort(): void
}

/** Why bytes could not be sent. */
export class SendError extends Error {
  /** `client_gone`: the connection closed; `truncated`: a mapped page is gone, the file has become shorter */
  readonly reason: 'client_gone' | 'truncated'

  constructor(reason: SendError['reason'], options?: ErrorOptions) {
    super(reason, options)
    this.reason = reason
  }
}

/** @param fields name, value, name, value …, of characters that a field may have */
export function fieldLines(fields: readonly string[]): string {
  let text = ''
  for (let i = 0; i + 1 < fields.length; i += 2) text += `${fields[i]}: ${fields[i + 1]}\r\n`
  return text
}

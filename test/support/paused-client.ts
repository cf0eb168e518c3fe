/** An HTTP client that stops reading in the middle of a body, for as long as a test wants. */
import http from 'node:http'

export class PausedClient {
  readonly status: number
  readonly contentLength: number
  readonly #response: http.IncomingMessage
  readonly #chunks: Buffer[] = []
  #bytes = 0

  private constructor(response: http.IncomingMessage) {
    this.#response = response
    this.status = response.statusCode ?? 0
    this.contentLength = Number(response.headers['content-length'])
    response.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#bytes += chunk.length
    })
    // a cut connection is an outcome here, see `rest`
    response.on('error', () => {})
    response.pause()
  }

  /** @returns a client that has the headers and stands still */
  static get(url: string, headers: http.OutgoingHttpHeaders = {}): Promise<PausedClient> {
    return new Promise((resolve, reject) => {
      const request = http.get(url, { agent: false, headers }, (response) => {
        resolve(new PausedClient(response))
      })
      request.on('error', reject)
    })
  }

  /** Read on until about `bytes` have come in all, and stand still again. */
  readTo(bytes: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const stopAtEnoughBytes = () => {
        if (this.#bytes < bytes) return
        this.#response.pause()
        this.#response.off('data', stopAtEnoughBytes)
        resolve()
      }
      this.#response.on('data', stopAtEnoughBytes)
      this.#response.once('close', () => reject(new Error('closed before that many bytes came')))
      this.#response.resume()
    })
  }

  /** Read on until the end of the body or of the connection. */
  rest(): Promise<{ body: Buffer; isComplete: boolean }> {
    return new Promise((resolve) => {
      const response = this.#response
      const conclude = () => {
        resolve({ body: Buffer.concat(this.#chunks), isComplete: response.complete })
      }
      if (response.closed) return conclude()
      response.once('close', conclude)
      response.resume()
    })
  }

  /** Go away in the middle: with a reset, or with an orderly end of the connection. */
  leave(how: 'reset' | 'end'): void {
    if (how === 'reset') this.#response.socket.resetAndDestroy()
    else this.#response.destroy()
  }
}

/**
 * Server-sent events: one object a second to all who listen, made once for all of them, and only while somebody does.
 * @see https://html.spec.whatwg.org/multipage/server-sent-events.html
 */
import type { ServerResponse } from 'node:http'

const intervalMs = 1000
const maxListeners = 100
// What was sent in the last minutes, for a page that is loaded again or comes back.
const keptEvents = 300
// A page that does not read for some minutes is let go; it comes back by itself.
const maxWaitingBytes = 2 ** 20

export class EventFeed {
  readonly #make: () => Promise<unknown>
  readonly #listeners = new Set<ServerResponse>()
  readonly #kept: { readonly id: number; readonly text: string }[] = []
  // ids of a feed that was started again are not those of the one before
  #lastId = Date.now()
  readonly #firstId = this.#lastId
  #timer: NodeJS.Timeout | undefined
  #isMaking = false

  /** @param make the next object; undefined: there is none this time */
  constructor(make: () => Promise<unknown>) {
    this.#make = make
  }

  get hasRoom(): boolean {
    return this.#listeners.size < maxListeners
  }

  /**
   * @param fields more header fields of the response
   * @param lastId what a listener that comes back has seen last
   */
  add(response: ServerResponse, fields: Record<string, string>, lastId: string | undefined): void {
    response.writeHead(200, {
      ...fields,
      'content-type': 'text/event-stream; charset=utf-8',
      // nginx passes on what it gets, at once
      'x-accel-buffering': 'no'
    })
    const seen = Number(lastId ?? Number.NaN)
    const isOurs = seen >= this.#firstId && seen <= this.#lastId
    const missed = this.#kept.filter(({ id }) => !isOurs || id > seen)
    response.write(`retry: ${intervalMs}\n\n${missed.map(({ text }) => text).join('')}`)
    this.#listeners.add(response)
    response.once('close', () => {
      this.#listeners.delete(response)
      if (this.#listeners.size === 0) this.#stop()
    })
    if (this.#timer !== undefined) return
    this.#timer = setInterval(() => void this.#send(), intervalMs)
    void this.#send()
  }

  close(): void {
    this.#stop()
    for (const response of this.#listeners) response.destroy()
  }

  #stop(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #send(): Promise<void> {
    if (this.#isMaking) return
    this.#isMaking = true
    try {
      const event = await this.#make()
      if (event === undefined) return
      const id = ++this.#lastId
      const text = `id: ${id}\ndata: ${JSON.stringify(event)}\n\n`
      this.#kept.push({ id, text })
      if (this.#kept.length > keptEvents) this.#kept.shift()
      for (const response of this.#listeners) {
        if (response.writableLength > maxWaitingBytes) response.destroy()
        else response.write(text)
      }
    } finally {
      this.#isMaking = false
    }
  }
}

/** A sink of the tests: takes what it is told to take, at the pace that it is told, and watches how it is used. */
import assert from 'node:assert/strict'
import { type FieldBlock, SendError, type Sink } from '#src/delivery/sink.ts'
import { readMemory } from '../../support/memory.ts'

export interface SinkBehaviour {
  /** default: true */
  readonly canSendNow?: boolean
  /** how much of the nth offer is taken at the most, again from the first; default: all */
  readonly takes?: readonly number[]
  /** what a `write` waits for, called with its number; default: nothing */
  readonly pace?: (step: number) => Promise<unknown>
  /** behind how many bytes of windows it ends, and how */
  readonly endsAt?: { readonly byte: number; readonly by: 'close' | SendError['reason'] }
  /** called when bytes of a window were taken, with how many were taken in all */
  readonly whenTaken?: (total: number) => void
}

export class TestSink implements Sink {
  readonly canSendNow: boolean
  status: number | undefined
  fields: readonly string[] = []
  state: 'new' | 'begun' | 'ended' | 'aborted' = 'new'
  readonly #behaviour: SinkBehaviour
  readonly #abortController = new AbortController()
  readonly #pieces: Buffer[] = []
  /** bytes of windows that were taken */
  taken = 0
  #offers = 0
  #writes = 0
  #isWriting = false
  #rejectWrite: ((error: SendError) => void) | undefined

  constructor(behaviour: SinkBehaviour = {}) {
    this.#behaviour = behaviour
    this.canSendNow = behaviour.canSendNow ?? true
  }

  get signal(): AbortSignal {
    return this.#abortController.signal
  }

  /** The body so far. */
  get body(): Buffer {
    return Buffer.concat(this.#pieces)
  }

  field(name: string): string | undefined {
    const index = this.fields.findIndex((field, i) => i % 2 === 0 && field === name)
    return index === -1 ? undefined : this.fields[index + 1]
  }

  begin(status: number, common: FieldBlock, own: readonly string[]): void {
    assert.equal(this.state, 'new', 'begun twice')
    this.state = 'begun'
    this.status = status
    this.fields = [...common.fields, ...own]
  }

  append(text: string): void {
    assert.equal(this.state, 'begun')
    assert.ok(/^[\x20-\x7e\r\n]*$/.test(text), 'text of ASCII alone')
    this.#pieces.push(Buffer.from(text, 'latin1'))
  }

  sendNow(address: number, length: number): number {
    assert.equal(this.state, 'begun')
    assert.ok(this.canSendNow, 'only copies may be sent')
    assert.ok(!this.#isWriting, 'sent past a write that is not done')
    assert.ok(length > 0)
    const { takes = [length] } = this.#behaviour
    const most = takes[this.#offers++ % takes.length] as number
    const room = this.#room()
    if (room === 0) this.#end()
    const wanted = Math.min(length, most, room)
    if (wanted === 0) return 0
    const bytes = readMemory(address, wanted)
    if (bytes === 'EFAULT') throw new SendError('truncated')
    this.#take(bytes)
    this.#behaviour.whenTaken?.(this.taken)
    return bytes.length
  }

  async write(bytes: Uint8Array): Promise<void> {
    assert.equal(this.state, 'begun')
    assert.ok(!this.#isWriting, 'two writes at once')
    assert.ok(bytes.length > 0)
    if (this.signal.aborted) throw new SendError('client_gone')
    this.#isWriting = true
    const before = Buffer.from(bytes)
    try {
      await Promise.race([this.#behaviour.pace?.(this.#writes++), this.#closed()])
      assert.ok(before.equals(bytes), 'the buffer was used for something else before it was sent')
      const room = this.#room()
      this.#take(before.subarray(0, room))
      if (bytes.length > room) this.#end()
    } finally {
      this.#isWriting = false
    }
    this.#behaviour.whenTaken?.(this.taken)
  }

  end(): void {
    assert.equal(this.state, 'begun')
    assert.ok(!this.#isWriting, 'ended before a write was done')
    this.state = 'ended'
  }

  abort(): void {
    assert.notEqual(this.state, 'ended', 'aborted after its end')
    assert.notEqual(this.state, 'aborted', 'aborted twice')
    this.state = 'aborted'
    this.close()
  }

  /** The client goes. */
  close(): void {
    this.#abortController.abort()
    this.#rejectWrite?.(new SendError('client_gone'))
  }

  #room(): number {
    const { endsAt } = this.#behaviour
    return endsAt === undefined ? Number.POSITIVE_INFINITY : Math.max(0, endsAt.byte - this.taken)
  }

  #end(): never {
    const by = this.#behaviour.endsAt?.by
    if (by === undefined || by === 'close') this.close()
    throw new SendError(by === 'truncated' ? 'truncated' : 'client_gone')
  }

  /** Settles only when the client goes. */
  #closed(): Promise<never> | undefined {
    if (this.#behaviour.pace === undefined) return undefined
    const closed = new Promise<never>((_, reject) => {
      this.#rejectWrite = reject
    })
    closed.catch(() => {})
    return closed
  }

  #take(bytes: Buffer): void {
    this.#pieces.push(Buffer.from(bytes))
    this.taken += bytes.length
  }
}

/** Deliveries from real files to a sink of the tests, as the routes put them together. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { pino } from 'pino'
import type { Answer, FileRequest } from '#src/delivery/answer.ts'
import type { DeliveryContext } from '#src/delivery/context.ts'
import { Delivery } from '#src/delivery/deliver.ts'
import { createSelector } from '#src/delivery/headers.ts'
import { Turns } from '#src/delivery/turns.ts'
import { layoutMultipart } from '#src/http/multipart.ts'
import type { RequestFields } from '#src/http/plan.ts'
import { resolveRange } from '#src/http/range.ts'
import { Exchange } from '#src/metrics/exchange.ts'
import { StallWatch } from '#src/metrics/stalls.ts'
import { openStorage, type Storage, type StorageOptions } from '#src/storage/storage.ts'
import { descriptors } from '../../support/kernel-view.ts'
import { makeOld, tempFolder, until } from '../../support/serve.ts'
import type { TestSink } from './test-sink.ts'

// Larger than a piece, and no multiple of anything: edges fall everywhere.
export const windowBytes = 40_009
const regionBytes = 64 * 1024

export interface BenchOptions extends Partial<StorageOptions> {
  readonly isShortOfBuffers?: () => boolean
}

export class Bench {
  readonly root: string
  readonly storage: Storage
  readonly context: DeliveryContext
  readonly delivery: Delivery
  readonly select = createSelector([])
  readonly #errors: string[] = []
  readonly #concluded = new Map<FileRequest, string>()

  static async open(t: TestContext, options: BenchOptions = {}): Promise<Bench> {
    const root = tempFolder(t)
    const { isShortOfBuffers = () => false, ...storageOptions } = options
    const storage = await openStorage({
      root,
      mode: 'mmap',
      isGuarded: true,
      windowBytes,
      regionBytes,
      maxMappedBytes: 2 ** 30,
      maxOpenFiles: 100,
      revalidateMs: 0,
      maxWaitingReads: 1000,
      maxBufferedBytes: 2 ** 26,
      symlinks: 'within',
      dotfiles: 'allow',
      smallBytes: 0,
      ...storageOptions
    })
    t.after(() => storage.close())
    return new Bench(root, storage, isShortOfBuffers)
  }

  private constructor(root: string, storage: Storage, isShortOfBuffers: () => boolean) {
    this.root = root
    this.storage = storage
    // an answer that ends in an unexpected way, by an assertion of the sink for one
    const log = pino({ level: 'error' }, { write: (line: string) => void this.#errors.push(line) })
    const { source, copies, counters } = storage
    this.context = {
      source,
      copies,
      windowBytes,
      turns: new Turns(windowBytes, 8 * windowBytes),
      stalls: new StallWatch(0, log),
      measuresFaults: false,
      sendsTiming: false,
      isShortOfBuffers,
      count: (exchange, from, bytes) => {
        exchange.sent(from, bytes)
        counters.bodyBytes[from] += bytes
      }
    }
    this.delivery = new Delivery({
      storage,
      context: this.context,
      select: this.select,
      log,
      maxRanges: 64,
      conclude: (request, outcome) => {
        assert.ok(!this.#concluded.has(request), 'concluded twice')
        this.#concluded.set(request, outcome)
      }
    })
  }

  path(name: string): string {
    return join(this.root, name)
  }

  /** A file of a content that was there for long. */
  write(name: string, content: Uint8Array): string {
    const path = this.path(name)
    fs.writeFileSync(path, content)
    makeOld(path)
    return path
  }

  /**
   * A request, as the routes handle it.
   * @returns how it was concluded; or the plan's answer of 412 or 416
   * @throws StorageError when it is to be refused
   */
  async get(name: string, sink: TestSink, fields: RequestFields = {}): Promise<string | Answer> {
    const exchange = new Exchange('GET', `/${name}`, fields.range, '/*')
    const request: FileRequest = { exchange, sink, method: 'GET', fields, extraFields: [] }
    const file = this.storage.catalog.tryOpen(name)
    const now = file && this.delivery.tryNow(request, file)
    file?.release()
    const isWaiting = now === undefined || now === 'cold' || now === 'long'
    const delivered = isWaiting ? await this.delivery.deliver(request, name, now) : now
    if (delivered !== 'done') return delivered
    await until('the answer is over', () => this.#concluded.has(request), 15_000, 0)
    assert.deepEqual(this.#errors, [])
    return this.#concluded.get(request) as string
  }

  /** Nothing is held any more but what is kept for the next request. */
  async assertAtRest(name: string): Promise<void> {
    const held = () => ({
      regions: this.storage.regions.leases,
      file: (this.storage.catalog.known(name)?.leases ?? 1) - 1,
      bufferBytes: this.storage.buffers.usedBytes,
      waitingForBuffers: this.storage.buffers.waiting,
      waitingReads: this.storage.reads.waiting
    })
    const isAtRest = () => Object.values(held()).every((count) => count === 0)
    // a read that was at work when its client went ends later
    await until('nothing is held', isAtRest, 5000, 0).catch(() => {})
    assert.ok(isAtRest(), `still held: ${JSON.stringify(held())}`)
  }

  /** The end: no descriptor and no mapping is left. */
  async close(): Promise<void> {
    this.storage.close()
    await until('all descriptors are closed', () => descriptors(this.root) === 0)
    assert.equal(this.storage.regions.count, 0)
    assert.equal(this.storage.regions.mappedBytes, 0)
  }
}

/** The body that a request must get of a content, given what its answer says of itself. */
export function expectedBody(content: Buffer, range: string | undefined, sink: TestSink): Buffer {
  if (sink.status === 200) return content
  assert.equal(sink.status, 206)
  const ranges = resolveRange(range, content.length, 64)
  assert.ok(ranges !== 'whole' && ranges !== 'unsatisfiable')
  const type = sink.field('content-type') ?? ''
  const boundary = /^multipart\/byteranges; boundary=(.+)$/.exec(type)?.[1]
  const slices = ranges.map(({ start, end }) => content.subarray(start, end))
  if (boundary === undefined) {
    assert.equal(slices.length, 1)
    return slices[0] as Buffer
  }
  const { body } = layoutMultipart(ranges, 'application/octet-stream', content.length, boundary)
  const parts = body.map((part) =>
    typeof part === 'string' ? Buffer.from(part) : content.subarray(part.start, part.end)
  )
  return Buffer.concat(parts)
}

/** Any answer to any client: the bytes are right, and nothing is held afterwards. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises'
import fc from 'fast-check'
import type { StorageOptions } from '#src/storage/storage.ts'
import { dropPages } from '../../support/kernel-view.ts'
import { patternBytes } from '../../support/serve.ts'
import { Bench, expectedBody, windowBytes } from './bench.ts'
import { type SinkBehaviour, TestSink } from './test-sink.ts'

const edge = (at: number) => fc.integer({ min: Math.max(1, at - 2), max: at + 2 })
const anySize = fc.oneof(
  fc.integer({ min: 1, max: 300 }),
  fc.integer({ min: 1, max: 5 * windowBytes }),
  edge(4096),
  edge(windowBytes),
  edge(windowBytes + 4096),
  edge(2 * windowBytes)
)
/** Positions as shares of the size; undefined: no Range. */
const anyShares = fc.option(
  fc.array(
    fc.tuple(
      fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
      fc.double({ min: 0, max: 1, noNaN: true })
    ),
    { minLength: 1, maxLength: 4 }
  ),
  { nil: undefined }
)

function rangeField(
  shares: readonly (readonly [number, number])[] | undefined,
  size: number
): string | undefined {
  if (shares === undefined) return undefined
  const specs = shares.map(([at, length]) => {
    const first = Math.floor(at * size)
    return `${first}-${first + Math.floor(length * (size - first))}`
  })
  return `bytes=${specs.join(',')}`
}

const anyTakes = fc.oneof(
  fc.constant(undefined),
  fc.array(fc.oneof(fc.constant(0), fc.nat(300), fc.nat(2 * windowBytes)), {
    minLength: 1,
    maxLength: 5
  })
)
const paces: Record<string, SinkBehaviour['pace']> = {
  'at once': undefined,
  'a turn later': () => nextTurn(),
  'now and then slowly': (step) => (step % 3 === 0 ? wait(1) : nextTurn())
}
const anyRequest = fc.record({
  size: anySize,
  shares: anyShares,
  takes: anyTakes,
  pace: fc.constantFrom(...Object.keys(paces)),
  canSendNow: fc.boolean(),
  isShort: fc.boolean(),
  isCold: fc.nat(4).map((n) => n === 0)
})
type AnyRequest = typeof anyRequest extends fc.Arbitrary<infer T> ? T : never

const kinds: readonly (readonly [string, Partial<StorageOptions>])[] = [
  ['mapped', { mode: 'mmap' }],
  ['unguarded', { mode: 'mmap', isGuarded: false }],
  ['copied', { mode: 'mmap', maxMappedBytes: 0 }],
  ['read', { mode: 'read' }],
  ['read, with few buffers', { mode: 'read', maxBufferedBytes: 4096 }]
]

for (const [kind, options] of kinds) {
  describe(`a delivery of windows that are ${kind}`, () => {
    it('sends the bytes that were asked for, however the client takes them', async (t) => {
      let isShort = false
      const bench = await Bench.open(t, { ...options, isShortOfBuffers: () => isShort })
      await fc.assert(
        fc.asyncProperty(anyRequest, async (request) => {
          isShort = request.isShort
          const { content, name, range } = prepare(bench, request)
          // the first time it is opened, the second time it is known
          for (const _ of [1, 2]) {
            const sink = new TestSink(behaviourOf(request))
            assert.equal(await bench.get(name, sink, { range }), 'complete')
            assert.equal(sink.state, 'ended')
            const expected = expectedBody(content, range, sink)
            assert.ok(sink.body.equals(expected), 'other bytes than the file has')
            assert.equal(sink.field('content-length'), `${expected.length}`)
            await bench.assertAtRest(name)
          }
        }),
        { numRuns: 60 }
      )
      await bench.close()
    })

    it('ends at any byte when sending fails, and lets everything go', async (t) => {
      let isShort = false
      const bench = await Bench.open(t, { ...options, isShortOfBuffers: () => isShort })
      const anyEnd = fc.record({
        share: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
        by: fc.constantFrom('close' as const, 'client_gone' as const, 'truncated' as const)
      })
      await fc.assert(
        fc.asyncProperty(anyRequest, anyEnd, async (request, { share, by }) => {
          isShort = request.isShort
          const { content, name, range } = prepare(bench, request)
          const whole = new TestSink()
          await bench.get(name, whole, { range })
          const byte = Math.floor(share * whole.taken)
          const sink = new TestSink({ ...behaviourOf(request), endsAt: { byte, by } })
          const outcome = await bench.get(name, sink, { range })
          assert.equal(outcome, by === 'truncated' ? 'truncated' : 'client_gone')
          assert.equal(sink.state, 'aborted')
          const expected = expectedBody(content, range, sink)
          assert.ok(sink.body.length < expected.length)
          // the boundary is another one each time, of the same length
          assert.ok(expected.subarray(0, sink.body.length).equals(sink.body))
          await bench.assertAtRest(name)
        }),
        { numRuns: 60 }
      )
      await bench.close()
    })

    it('ends when the client goes while it is slow', async (t) => {
      const bench = await Bench.open(t, options)
      const content = patternBytes(0, 4 * windowBytes)
      bench.write('slow', content)
      for (const canSendNow of [true, false]) {
        const sink = new TestSink({ canSendNow, takes: [100], pace: () => new Promise(() => {}) })
        const outcome = bench.get('slow', sink)
        for (let turn = 0; turn < 5 || sink.state === 'new'; turn++) await nextTurn()
        sink.close()
        assert.equal(await outcome, 'client_gone')
        await bench.assertAtRest('slow')
      }
      await bench.close()
    })

    it('ends before its beginning when the client has gone already', async (t) => {
      const bench = await Bench.open(t, options)
      bench.write('gone', patternBytes(0, 2 * windowBytes))
      const sink = new TestSink({ canSendNow: false })
      sink.close()
      assert.equal(await bench.get('gone', sink), 'client_gone')
      assert.equal(sink.body.length, 0)
      await bench.assertAtRest('gone')
      await bench.close()
    })
  })
}

describe('a delivery of an answer that is not planned with a body', () => {
  it('leaves 412 and 416 to the caller, and sends 304 by itself', async (t) => {
    const bench = await Bench.open(t)
    bench.write('file', patternBytes(0, 1000))
    for (const [fields, status] of [
      [{ 'if-match': '"other"' }, 412],
      [{ range: 'bytes=1000-' }, 416]
    ] as const) {
      const sink = new TestSink()
      const answer = await bench.get('file', sink, fields)
      assert.ok(typeof answer !== 'string')
      assert.equal(answer.plan.status, status)
      assert.equal(sink.state, 'new')
      await bench.assertAtRest('file')
    }
    const first = new TestSink()
    await bench.get('file', first)
    const second = new TestSink()
    const fields = { 'if-none-match': first.field('etag') }
    assert.equal(await bench.get('file', second, fields), 'complete')
    assert.equal(second.status, 304)
    assert.equal(second.body.length, 0)
    await bench.assertAtRest('file')
    await bench.close()
  })

  it('refuses a file that is missing, with nothing sent', async (t) => {
    const bench = await Bench.open(t)
    const sink = new TestSink()
    await assert.rejects(bench.get('missing', sink), { code: 'NOT_FOUND' })
    assert.equal(sink.state, 'new')
    await bench.close()
  })

  it('refuses a file that is shorter than it says, with nothing sent', async (t) => {
    const bench = await Bench.open(t, { mode: 'read' })
    const path = bench.write('short', patternBytes(0, 3 * windowBytes))
    const file = await bench.storage.catalog.open('short')
    // as on a file system that reports sizes late
    Object.defineProperty(file.freshness, 'isStillNamed', { value: () => true })
    fs.truncateSync(path, 10)
    const sink = new TestSink()
    await assert.rejects(bench.get('short', sink), { code: 'CHANGED' })
    assert.equal(sink.state, 'new')
    file.release()
    await bench.assertAtRest('short')
    await bench.close()
  })
})

describe('an answer of several ranges that are in memory', () => {
  const range = 'bytes=0-99,9000-9099,20000-20099'

  it('is given in the turn of the event loop in which it is asked for', async (t) => {
    const bench = await Bench.open(t)
    const content = patternBytes(0, windowBytes)
    bench.write('file', content)
    await bench.get('file', new TestSink()) // mapped
    const sink = new TestSink()
    const outcome = bench.get('file', sink, { range })
    assert.equal(sink.state, 'ended')
    assert.ok(sink.body.equals(expectedBody(content, range, sink)))
    assert.equal(await outcome, 'complete')
    await bench.assertAtRest('file')
    await bench.close()
  })

  it('is not complete when the file is rewritten behind its first range', async (t) => {
    const bench = await Bench.open(t)
    const path = bench.write('file', patternBytes(0, windowBytes))
    await bench.get('file', new TestSink())
    const sink = new TestSink({
      whenTaken: () => fs.writeFileSync(path, Buffer.alloc(windowBytes))
    })
    assert.equal(await bench.get('file', sink, { range }), 'changed')
    assert.equal(sink.state, 'aborted')
    await bench.assertAtRest('file')
    await bench.close()
  })

  it('is not complete when its last range is sent in two pieces, and the file is written anew, longer', async (t) => {
    const bench = await Bench.open(t)
    const content = patternBytes(0, windowBytes)
    const path = bench.write('file', content)
    await bench.get('file', new TestSink())
    const sink = new TestSink({
      takes: [100, 100, 50],
      whenTaken: (taken) => {
        if (taken !== 250) return
        // its head is the same
        const other = Buffer.concat([content, Buffer.from('more')])
        other.fill('x', 5000)
        fs.writeFileSync(path, other)
      }
    })
    assert.equal(await bench.get('file', sink, { range }), 'changed')
    assert.equal(sink.state, 'aborted')
    await bench.close()
  })
})

let made = 0

function prepare(bench: Bench, { size, shares, isCold }: AnyRequest) {
  const content = patternBytes(0, size)
  // a few names again and again: what was there before is replaced
  const name = `file-${made++ % 7}`
  fs.rmSync(bench.path(name), { force: true })
  const path = bench.write(name, content)
  if (isCold) dropPages(path)
  return { content, name, range: rangeField(shares, size) }
}

function behaviourOf({ takes, pace, canSendNow }: AnyRequest): SinkBehaviour {
  const found = paces[pace]
  return {
    canSendNow,
    ...(takes === undefined ? {} : { takes }),
    ...(found === undefined ? {} : { pace: found })
  }
}

/** Files that are changed while they are sent: a complete answer is always of one content. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises'
import fc from 'fast-check'
import type { Answer } from '#src/delivery/answer.ts'
import { stream } from '#src/delivery/stream.ts'
import { planResponse } from '#src/http/plan.ts'
import { Exchange } from '#src/metrics/exchange.ts'
import type { StorageOptions } from '#src/storage/storage.ts'
import { patternBytes, until } from '../../support/serve.ts'
import { Bench, windowBytes } from './bench.ts'
import { TestSink } from './test-sink.ts'

/** Ways to change a file of a content. */
const changes = {
  'rewritten in place': (path: string, content: Buffer) => writeInPlace(path, other(content)),
  'rewritten at its end': (path: string, content: Buffer) =>
    writeInPlace(path, other(content.subarray(-1)), content.length - 1),
  'written anew, longer': (path: string, content: Buffer) =>
    fs.writeFileSync(path, Buffer.concat([other(content), content])),
  'written anew, shorter': (path: string, content: Buffer) =>
    fs.writeFileSync(path, other(content.subarray(0, content.length >> 1))),
  truncated: (path: string, content: Buffer) => fs.truncateSync(path, content.length >> 1),
  emptied: (path: string) => fs.truncateSync(path, 0),
  appended: (path: string, content: Buffer) => fs.appendFileSync(path, content),
  replaced: (path: string, content: Buffer) => {
    fs.writeFileSync(`${path}.new`, other(content))
    fs.renameSync(`${path}.new`, path)
  },
  deleted: (path: string) => fs.rmSync(path)
}
type Change = keyof typeof changes
const harmless: ReadonlySet<Change> = new Set(['appended', 'replaced', 'deleted'])

const kinds: readonly (readonly [string, Partial<StorageOptions>])[] = [
  ['mapped', { mode: 'mmap' }],
  ['unguarded', { mode: 'mmap', isGuarded: false }],
  ['copied', { mode: 'mmap', maxMappedBytes: 0 }],
  ['read', { mode: 'read' }]
]

const anyCase = fc.record({
  size: fc.oneof(
    fc.integer({ min: 1, max: windowBytes }),
    fc.integer({ min: windowBytes + 1, max: 5 * windowBytes })
  ),
  // a multipart of several parts, or the whole
  parts: fc.constantFrom(1, 3),
  // after which share of it the file is changed
  share: fc.double({ min: 0, max: 1, noNaN: true }),
  takes: fc.constantFrom(undefined, [0], [700], [5000, 0, 60_000], [20_000, 0]),
  canSendNow: fc.boolean(),
  isShort: fc.boolean(),
  isKnown: fc.boolean()
})

for (const [kind, options] of kinds) {
  describe(`an answer of windows that are ${kind}`, () => {
    for (const change of Object.keys(changes) as Change[]) {
      const isHarmless = harmless.has(change)
      const title = isHarmless ? 'is completed with what it began with' : 'is never of two contents'
      it(`${title}, when its file is ${change}`, async (t) => {
        let isShort = false
        const bench = await Bench.open(t, { ...options, isShortOfBuffers: () => isShort })
        let made = 0
        await fc.assert(
          fc.asyncProperty(anyCase, async (some) => {
            isShort = some.isShort
            // a name of its own: how a file was changed before has a say in how it is read
            const name = `file-${made++}`
            const content = patternBytes(0, some.size)
            const path = bench.write(name, content)
            if (some.isKnown) assert.equal(await bench.get(name, new TestSink()), 'complete')
            const range = some.parts === 1 ? undefined : threeParts(some.size)
            const promised = range === undefined ? some.size : 3 * Math.floor(some.size / 10)
            let leftAfterChange: number | undefined
            let steps = 0
            let changedInStep = 0
            const sink = new TestSink({
              canSendNow: some.canSendNow,
              ...(some.takes === undefined ? {} : { takes: some.takes }),
              whenTaken: (taken) => {
                steps++
                if (leftAfterChange !== undefined || taken < some.share * promised) return
                leftAfterChange = promised - taken
                changedInStep = steps
                changes[change](path, content)
              }
            })
            const outcome = await bench.get(name, sink, { range })
            if (outcome === 'complete') {
              const isRange = sink.status === 206
              const sent = isRange ? withoutFraming(sink, content) : sink.body
              assert.ok(sent.equals(isRange ? slices(content) : content), 'of two contents')
            } else {
              assert.equal(sink.state, 'aborted')
              // appended to while its very first bytes are sent, it cannot be told from a file written anew
              const isUnproven = change === 'appended' && changedInStep === 1
              assert.ok(!isHarmless || isUnproven, `${outcome}, though its bytes are still there`)
            }
            // what is left is more than one copied window, or more than the tail of a mapped answer
            const isCopied = kind === 'copied' || kind === 'read' || !some.canSendNow
            const mayBeHeld = isCopied || promised <= windowBytes ? windowBytes : 4096
            if (!isHarmless && (leftAfterChange ?? 0) > mayBeHeld) {
              assert.notEqual(outcome, 'complete')
            }
            await bench.assertAtRest(name)
          }),
          { numRuns: 25 }
        )
        await bench.close()
      })
    }
  })
}

describe('an answer whose file was changed between its plan and its first window', () => {
  for (const [kind, options] of kinds) {
    for (const change of Object.keys(changes) as Change[]) {
      const mustFail = !harmless.has(change)
      it(`${mustFail ? 'fails' : 'is of the old content'} with nothing sent: ${change}, ${kind}`, async (t) => {
        const bench = await Bench.open(t, options)
        for (const size of [100, 3 * windowBytes]) {
          const content = patternBytes(0, size)
          const path = bench.write(`file-${size}`, content)
          const answer = await answerOf(bench, `file-${size}`)
          changes[change](path, content)
          const sink = answer.request.sink as TestSink
          if (mustFail) {
            await assert.rejects(stream(answer, bench.context), ({ code }) =>
              ['CHANGED', 'SHORT_READ'].includes(code)
            )
            assert.equal(answer.phase, 'planned')
            assert.equal(sink.state, 'new')
          } else if (change !== 'appended') {
            await stream(answer, bench.context)
            assert.ok(sink.body.equals(content))
          }
          answer.file.release()
        }
        await bench.close()
      })
    }
  }
})

describe('a file that is changed all the time', () => {
  it('is answered whole while it grows, each time as long as it was then', async (t) => {
    for (const mode of ['mmap', 'read'] as const) {
      const bench = await Bench.open(t, { mode })
      let content = patternBytes(0, 3 * windowBytes)
      const path = bench.path('log')
      fs.writeFileSync(path, content)
      let isOver = false
      const growing = (async () => {
        while (!isOver) {
          const more = patternBytes(content.length, content.length + 100)
          fs.appendFileSync(path, more)
          content = Buffer.concat([content, more])
          await nextTurn()
        }
      })()
      for (let n = 0; n < 20; n++) {
        const sink = new TestSink({ takes: [5000], pace: () => nextTurn() })
        assert.equal(await bench.get('log', sink), 'complete')
        assert.ok(sink.body.length >= 3 * windowBytes)
        assert.ok(sink.body.equals(content.subarray(0, sink.body.length)))
      }
      isOver = true
      await growing
      await bench.close()
    }
  })

  it('is answered whole when an append is seen half way: a new mtime, and the size of before', async (t) => {
    const bench = await Bench.open(t, { mode: 'read' })
    const content = patternBytes(0, 3 * windowBytes)
    const path = bench.write('log', content)
    await bench.get('log', new TestSink())
    fs.appendFileSync(path, 'more')
    await bench.get('log', new TestSink()) // it is known to grow
    let steps = 0
    const sink = new TestSink({
      takes: [5000],
      pace: () => nextTurn(),
      whenTaken: () => {
        if (++steps !== 3) return
        const now = new Date()
        fs.utimesSync(path, now, now)
        setTimeout(() => fs.appendFileSync(path, 'more'), 3)
      }
    })
    assert.equal(await bench.get('log', sink), 'complete')
    assert.ok(sink.body.equals(Buffer.concat([content, Buffer.from('more')])))
    await bench.close()
  })

  it('is not answered whole when it is rewritten and appended to, between which it was looked at', async (t) => {
    for (const mode of ['mmap', 'read'] as const) {
      const bench = await Bench.open(t, { mode })
      const path = bench.write('state', patternBytes(0, 6 * windowBytes))
      let steps = 0
      let appended: Promise<void> | undefined
      const sink = new TestSink({
        takes: [5000],
        pace: () => nextTurn(),
        whenTaken: () => {
          if (++steps !== 3) return
          writeInPlace(path, Buffer.from('other'), 1500)
          writeInPlace(path, Buffer.from('other'), 5 * windowBytes + 1500)
          appended = wait(3).then(() => fs.appendFileSync(path, 'more'))
        }
      })
      assert.equal(await bench.get('state', sink), 'changed')
      await appended
      await bench.close()
    }
  })

  it('is answered with one of its contents, or refused, while it is rewritten', async (t) => {
    for (const mode of ['mmap', 'read'] as const) {
      const bench = await Bench.open(t, { mode })
      const path = bench.path('state')
      const contentOf = (version: number) => Buffer.alloc(20_000, version % 251)
      fs.writeFileSync(path, contentOf(0))
      let isOver = false
      const rewriting = (async () => {
        for (let version = 1; !isOver; version++) {
          writeInPlace(path, contentOf(version))
          await wait(4)
        }
      })()
      let complete = 0
      for (let n = 0; n < 30; n++) {
        const sink = new TestSink({ canSendNow: n % 2 === 0, pace: () => nextTurn() })
        const outcome = await bench.get('state', sink).catch(({ code }) => code)
        if (outcome !== 'complete') continue
        complete++
        const [version] = sink.body
        assert.ok(version !== undefined && sink.body.equals(contentOf(version)))
      }
      isOver = true
      await rewriting
      assert.ok(complete > 0, 'none was completed')
      await bench.close()
    }
  })

  it('takes no more than the budget from clients that do not read', async (t) => {
    const budget = 8 * 2 ** 16
    let bench: Bench | undefined
    const isShortOfBuffers = () => (bench?.storage.buffers.usedBytes ?? 0) > budget / 2
    bench = await Bench.open(t, { mode: 'read', maxBufferedBytes: budget, isShortOfBuffers })
    const content = patternBytes(0, windowBytes)
    const path = bench.path('state')
    // so often that its mtime is never old
    const rewriting = setInterval(() => writeInPlace(path, content), 20)
    t.after(() => clearInterval(rewriting))
    fs.writeFileSync(path, content)
    const sinks = Array.from(
      { length: 30 },
      () => new TestSink({ takes: [0], pace: () => new Promise(() => {}) })
    )
    const answers = sinks.map((sink) => bench.get('state', sink).catch(({ code }) => code))
    // where the machine is busy, the file gets old, and windows are given back for smaller pieces
    let most = 0
    await until('all are answered or refused', async () => {
      const { usedBytes, waiting } = bench.storage.buffers
      assert.ok(usedBytes <= budget)
      most = Math.max(most, usedBytes)
      if (waiting > 0 || most < budget / 2) return false
      return sinks.filter(({ state }) => state === 'begun').length > 8
    })
    const reader = new TestSink()
    bench.write('other', content)
    assert.equal(await bench.get('other', reader), 'complete')
    assert.ok(reader.body.equals(content))
    for (const sink of sinks) sink.close()
    await Promise.all(answers)
    await bench.close()
  })
})

async function answerOf(bench: Bench, name: string): Promise<Answer> {
  const file = await bench.storage.catalog.open(name)
  const selected = bench.select(file)
  const request = {
    exchange: new Exchange('GET', `/${name}`, undefined, '/*'),
    sink: new TestSink(),
    method: 'GET',
    fields: {},
    extraFields: []
  } as const
  const plan = planResponse('GET', {}, selected.representation, 64)
  return { request, file, selected, plan, phase: 'planned' }
}

/** Three parts, each a tenth of the file. */
function threeParts(size: number): string {
  const tenth = Math.floor(size / 10)
  if (tenth === 0) return 'bytes=0-'
  return `bytes=${[0, 3, 6].map((n) => `${n * tenth}-${(n + 1) * tenth - 1}`).join(',')}`
}

function slices(content: Buffer): Buffer {
  const tenth = Math.floor(content.length / 10)
  if (tenth === 0) return content
  return Buffer.concat([0, 3, 6].map((n) => content.subarray(n * tenth, (n + 1) * tenth)))
}

/** What of a multipart is between its framing, whose lengths are known. */
function withoutFraming(sink: TestSink, content: Buffer): Buffer {
  const { body } = sink
  if (!sink.field('content-type')?.startsWith('multipart/')) return body
  const tenth = Math.floor(content.length / 10)
  const parts: Buffer[] = []
  for (let at = 0; parts.length < 3; ) {
    const start = body.indexOf('\r\n\r\n', at) + 4
    at = start + tenth
    parts.push(body.subarray(start, at))
  }
  return Buffer.concat(parts)
}

function other(content: Buffer): Buffer {
  return content.map((byte) => byte ^ 0xff) as Buffer
}

function writeInPlace(path: string, bytes: Buffer, position = 0): void {
  const fd = fs.openSync(path, 'r+')
  fs.writeSync(fd, bytes, 0, bytes.length, position)
  fs.closeSync(fd)
}

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { affordableConnections } from '#src/config/descriptors.ts'
import { PoolShare, type RunOptions, sharesOf } from '#src/storage/thread-pool.ts'

describe('a share of the thread pool', () => {
  it('lets so much work in, and the rest in the order in which it came', async () => {
    const share = new PoolShare({ what: 'reads', maxRunning: 2, maxWaiting: 10 })
    const first = [work(share, 'a'), work(share, 'a')]
    const order: number[] = []
    const turns = [1, 2, 3].map((n) => work(share, 'a', {}, () => order.push(n)))
    await nextTurn()
    assert.deepEqual(first.map(hasBegun), [true, true])
    assert.equal(share.waiting, 3)
    for (const [n, running] of [...first, ...turns].slice(0, 3).entries()) {
      running.end()
      await turns[n]?.begun
      assert.equal(order.length, n + 1)
      assert.equal(share.waiting, 2 - n)
    }
    assert.deepEqual(order, [1, 2, 3])
  })

  it('lets files take turns, however many wait for one of them', async () => {
    const share = new PoolShare({ what: 'reads', maxRunning: 1, maxWaiting: 10 })
    const first = work(share, 'a')
    const order: string[] = []
    const turns = ['a', 'a', 'a', 'b', 'c', 'b'].map((path) =>
      share.run(path, { mayRefuse: true }, async () => order.push(path))
    )
    first.end()
    await Promise.all(turns)
    assert.deepEqual(order, ['a', 'b', 'c', 'a', 'b', 'a'])
  })

  it('starts what waits for nobody only if a thread is free now, and gives it on', async () => {
    const share = new PoolShare({ what: 'reads', maxRunning: 2, maxOfOne: 1, maxWaiting: 10 })
    let end = () => {}
    const rest = new Promise<void>((resolve) => {
      end = resolve
    })
    const ended = share.tryRun('a', () => rest)
    assert.ok(ended !== undefined)
    const refuse = () => assert.fail('no thread is free')
    assert.equal(share.tryRun('a', refuse), undefined, 'of this file')
    const other = work(share, 'b')
    assert.equal(share.tryRun('c', refuse), undefined, 'at all')
    const next = work(share, 'a')
    await nextTurn()
    assert.ok(!hasBegun(next))
    end()
    await ended
    await next.begun
    for (const { end, result } of [next, other]) {
      end()
      await result
    }
  })

  it('refuses who comes when it is full, but not who is in the middle of an answer', async () => {
    const share = new PoolShare({ what: 'reads', maxRunning: 1, maxWaiting: 1 })
    const running = work(share, 'a')
    const first = work(share, 'a', { mayRefuse: true })
    const refused = share.run('b', { mayRefuse: true }, () => assert.fail('it was refused'))
    await assert.rejects(refused, { code: 'OVERLOADED', reason: 'reads', path: 'b' })
    const second = work(share, 'c', { mayRefuse: false })
    running.end()
    await first.begun
    first.end()
    await second.begun
    second.end()
    await second.result
    const next = work(share, 'd', { mayRefuse: true })
    await nextTurn()
    assert.ok(hasBegun(next), 'all places are free again')
  })

  it('leaves a place for others when one file has many readers', async () => {
    const share = new PoolShare({ what: 'reads', maxRunning: 3, maxOfOne: 2, maxWaiting: 10 })
    const [one, two, three] = [work(share, 'a'), work(share, 'a'), work(share, 'a')]
    const other = work(share, 'b')
    await other.begun
    assert.deepEqual([one, two, three].map(hasBegun), [true, true, false])
    other.end()
    await other.result
    assert.equal(share.waiting, 1, 'the place of b is not for a')
    one.end()
    await three.begun
    assert.equal(share.waiting, 0)
  })

  it('never starts waiting work whose client has gone, and counts it no more', async () => {
    const share = new PoolShare({ what: 'reads', maxRunning: 1, maxWaiting: 2 })
    const running = work(share, 'a')
    const leaving = new AbortController()
    const left = [work(share, 'a', leaving), work(share, 'b', leaving)]
    const stays = work(share, 'b', { signal: new AbortController().signal })
    assert.equal(share.waiting, 3)
    leaving.abort(new Error('gone'))
    for (const { result } of left) await assert.rejects(result, /gone/)
    assert.equal(share.waiting, 1)
    const next = work(share, 'c', { mayRefuse: true })
    assert.equal(share.waiting, 2, 'there is room for others')
    running.end()
    await stays.begun
    stays.end()
    await next.begun
    next.end()
    await next.result
    assert.deepEqual(left.map(hasBegun), [false, false])
    assert.equal(share.waiting, 0)
  })

  it('does not start work whose client has gone before', async () => {
    const share = new PoolShare({ what: 'reads', maxRunning: 1, maxWaiting: 2 })
    const signal = AbortSignal.abort(new Error('gone'))
    const gone = work(share, 'a', { signal })
    await assert.rejects(gone.result, /gone/)
    assert.equal(gone.isBegun, false)
  })

  it('lets work that runs go on when its client goes, and hands its thread on at its end', async () => {
    const share = new PoolShare({ what: 'reads', maxRunning: 1, maxWaiting: 2 })
    const leaving = new AbortController()
    const running = work(share, 'a', leaving)
    const next = work(share, 'a')
    leaving.abort(new Error('gone'))
    await nextTurn()
    assert.equal(next.isBegun, false)
    running.end()
    await running.result
    await next.begun
  })

  it('hands the thread of work that fails on', async () => {
    const share = new PoolShare({ what: 'reads', maxRunning: 1, maxWaiting: 2 })
    const failing = share.run('a', {}, () => Promise.reject(new Error('defect')))
    const next = work(share, 'a')
    await assert.rejects(failing, /defect/)
    await next.begun
  })

  it('runs all that stays, never too much at once, whatever comes and goes', async () => {
    const limits = { what: 'reads', maxRunning: 3, maxOfOne: 2, maxWaiting: 1000 } as const
    const step = fc.record({
      what: fc.constantFrom('come', 'come', 'go', 'end'),
      key: fc.constantFrom('a', 'b', 'c')
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const share = new PoolShare(limits)
        const all: {
          readonly key: string
          readonly abort: AbortController
          readonly work: Work
        }[] = []
        const ended = new Set<Work>()
        const isGone = ({ abort, work }: (typeof all)[number]) =>
          abort.signal.aborted && !work.isBegun
        const running = () => all.filter(({ work }) => work.isBegun && !ended.has(work))
        const endOne = () => {
          const [first] = running()
          if (first === undefined) return
          ended.add(first.work)
          first.work.end()
        }
        const check = async () => {
          await nextTurn()
          assert.ok(running().length <= limits.maxRunning)
          for (const key of 'abc') {
            const ofOne = running().filter((one) => one.key === key).length
            assert.ok(ofOne <= limits.maxOfOne)
          }
          const waiting = all.filter((one) => !one.work.isBegun && !isGone(one)).length
          assert.equal(share.waiting, waiting)
        }
        for (const { what, key } of steps) {
          if (what === 'come') {
            const abort = new AbortController()
            all.push({ key, abort, work: work(share, key, { signal: abort.signal }) })
          } else if (what === 'go') {
            all.find((one) => one.key === key && !one.abort.signal.aborted)?.abort.abort()
          } else endOne()
          await check()
        }
        while (running().length > 0) {
          endOne()
          await check()
        }
        assert.equal(share.waiting, 0)
        for (const one of all) assert.ok(isGone(one) || ended.has(one.work))
      }),
      { numRuns: 100 }
    )
  })

  for (const [threads, readers, readersOfOne, openers] of [
    [1, 1, 1, 1],
    [4, 2, 1, 1],
    [32, 16, 12, 8]
  ] as const) {
    it(`has ${readers} readers and ${openers} openers for ${threads} threads`, () => {
      assert.deepEqual(sharesOf(threads), { readers, readersOfOne, openers })
    })
  }
})

describe('connections that the descriptors are enough for', () => {
  for (const [soft, connections] of [
    ['128', 40],
    ['1024', 488],
    ['1048576', 10_000],
    ['unlimited', 10_000],
    ['10', 8]
  ] as const) {
    it(`${connections} of ${soft}`, () => {
      const line = `Max open files            ${soft}              1048576              files     `
      const limits = `Limit      Soft Limit   Hard Limit   Units\n${line}\n`
      assert.equal(affordableConnections(limits), connections)
    })
  }
})

/** Work that lasts until it is told to end. */
class Work {
  readonly begun: Promise<void>
  readonly result: Promise<void>
  isBegun = false
  end = () => {}

  constructor(share: PoolShare, key: string, options: RunOptions, whenBegun: () => void) {
    const ended = new Promise<void>((resolve) => {
      this.end = resolve
    })
    let begin = () => {}
    this.begun = new Promise((resolve) => {
      begin = resolve
    })
    this.result = share.run(key, options, () => {
      this.isBegun = true
      whenBegun()
      begin()
      return ended
    })
    // looked at by those tests in which it may fail
    this.result.catch(() => {})
  }
}

function work(share: PoolShare, key: string, options: RunOptions = {}, whenBegun = () => {}): Work {
  return new Work(share, key, options, whenBegun)
}

function hasBegun({ isBegun }: Work): boolean {
  return isBegun
}

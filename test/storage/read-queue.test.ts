import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { affordableConnections } from '#src/descriptors.ts'
import { ReadQueue, readersOf } from '#src/storage/read-queue.ts'

describe('the queue of reads', () => {
  it('lets so many in, and the others in the order in which they came', async () => {
    const queue = new ReadQueue({ maxRunning: 2, maxWaiting: 10 })
    assert.equal(queue.enter('a', true), undefined)
    assert.equal(queue.enter('a', true), undefined)
    const order: number[] = []
    const turns = [1, 2, 3].map(async (n) => {
      await queue.enter('a', true)
      order.push(n)
    })
    assert.equal(queue.waiting, 3)
    for (let n = 1; n <= 3; n++) {
      queue.leave()
      await turns[n - 1]
      assert.equal(order.length, n)
    }
    assert.deepEqual(order, [1, 2, 3])
  })

  it('refuses who comes when it is full, but not who is in the middle of an answer', async () => {
    const queue = new ReadQueue({ maxRunning: 1, maxWaiting: 1 })
    assert.equal(queue.enter('a', true), undefined)
    const first = queue.enter('a', true)
    assert.throws(() => queue.enter('b', true), { code: 'OVERLOADED', reason: 'reads', path: 'b' })
    const second = queue.enter('c', false)
    queue.leave()
    await first
    queue.leave()
    await second
    queue.leave()
    assert.equal(queue.enter('d', true), undefined, 'all places are free again')
  })

  for (const [threads, readers] of [
    [1, 1],
    [2, 1],
    [4, 2],
    [24, 16]
  ] as const) {
    it(`has ${readers} of ${threads} threads`, () => assert.equal(readersOf(threads), readers))
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

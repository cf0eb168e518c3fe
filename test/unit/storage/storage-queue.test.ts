import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { affordableConnections } from '#src/config/descriptors.ts'
import { StorageQueue, sharesOf } from '#src/storage/storage-queue.ts'

describe('the queue for the storage', () => {
  it('lets so many in, and the others in the order in which they came', async () => {
    const queue = new StorageQueue({ what: 'reads', maxRunning: 2, maxWaiting: 10 })
    assert.equal(queue.enter('a', true), undefined)
    assert.equal(queue.enter('a', true), undefined)
    const order: number[] = []
    const turns = [1, 2, 3].map(async (n) => {
      await queue.enter('a', true)
      order.push(n)
    })
    assert.equal(queue.waiting, 3)
    for (let n = 1; n <= 3; n++) {
      queue.leave('a')
      await turns[n - 1]
      assert.equal(order.length, n)
    }
    assert.deepEqual(order, [1, 2, 3])
  })

  it('lets files take turns, however many wait for one of them', async () => {
    const queue = new StorageQueue({ what: 'reads', maxRunning: 1, maxWaiting: 10 })
    assert.equal(queue.enter('a', true), undefined)
    const order: string[] = []
    const wants = ['a', 'a', 'a', 'b', 'c', 'b']
    const turns = wants.map(async (path) => {
      await queue.enter(path, true)
      order.push(path)
      queue.leave(path)
    })
    queue.leave('a')
    await Promise.all(turns)
    assert.deepEqual(order, ['a', 'b', 'c', 'a', 'b', 'a'])
  })

  it('refuses who comes when it is full, but not who is in the middle of an answer', async () => {
    const queue = new StorageQueue({ what: 'reads', maxRunning: 1, maxWaiting: 1 })
    assert.equal(queue.enter('a', true), undefined)
    const first = queue.enter('a', true)
    assert.throws(() => queue.enter('b', true), { code: 'OVERLOADED', reason: 'reads', path: 'b' })
    const second = queue.enter('c', false)
    queue.leave('a')
    await first
    queue.leave('a')
    await second
    queue.leave('c')
    assert.equal(queue.enter('d', true), undefined, 'all places are free again')
  })

  it('leaves a place for others when one file has many readers', async () => {
    const queue = new StorageQueue({ what: 'reads', maxRunning: 3, maxOfOne: 2, maxWaiting: 10 })
    assert.equal(queue.enter('a', true), undefined)
    assert.equal(queue.enter('a', true), undefined)
    const third = queue.enter('a', true)
    assert.notEqual(third, undefined)
    assert.equal(queue.enter('b', true), undefined)
    queue.leave('b')
    assert.equal(queue.waiting, 1, 'the place of b is not for a')
    queue.leave('a')
    await third
    queue.leave('a')
    queue.leave('a')
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

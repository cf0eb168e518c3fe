import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { addressOf } from '#src/storage/native/libc.ts'
import { type Block, WindowBuffers } from '#src/storage/window-buffers.ts'

const KiB = 1024

describe('buffers for windows', () => {
  it('are as large as was asked for, and known by their address', () => {
    const buffers = new WindowBuffers(2 ** 30)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 300_000 }), (length) => {
        const block = buffers.tryTake(length)
        assert.ok(block !== undefined && block.buffer.length >= length)
        assert.ok(block.buffer.length < 2 * length || block.buffer.length === 4 * KiB)
        assert.equal(block.address, addressOf(block.buffer))
        assert.equal(buffers.usedBytes, block.buffer.length)
        buffers.giveBack(block)
        assert.equal(buffers.usedBytes, 0)
      })
    )
  })

  it('are used again', () => {
    const buffers = new WindowBuffers(2 ** 20)
    const first = taken(buffers, 5000)
    buffers.giveBack(first)
    assert.equal(buffers.tryTake(8000), first)
  })

  it('are refused beyond the budget, and waited for in the order of asking', async () => {
    const buffers = new WindowBuffers(16 * KiB)
    const [one, two] = [taken(buffers, 8 * KiB), taken(buffers, 8 * KiB)]
    assert.equal(buffers.tryTake(1), undefined)
    const order: string[] = []
    const large = buffers.take(16 * KiB)
    void large.then(() => order.push('large'))
    const small = buffers.take(4 * KiB)
    void small.then(() => order.push('small'))
    assert.equal(buffers.waiting, 2)
    buffers.giveBack(one)
    await nextTurn()
    assert.deepEqual(order, [], 'who wants less does not pass who wants more')
    assert.equal(buffers.tryTake(1), undefined, 'nor does who comes now')
    buffers.giveBack(two)
    buffers.giveBack(await large)
    buffers.giveBack(await small)
    assert.deepEqual(order, ['large', 'small'])
    assert.equal(buffers.usedBytes, 0)
  })

  it('may be larger than the budget when nothing else is in use', async () => {
    const buffers = new WindowBuffers(4 * KiB)
    const small = taken(buffers, 1)
    assert.equal(buffers.tryTake(64 * KiB), undefined)
    const large = buffers.take(64 * KiB)
    buffers.giveBack(small)
    assert.equal((await large).buffer.length, 64 * KiB)
    assert.equal(buffers.usedBytes, 64 * KiB)
    assert.equal(buffers.tryTake(1), undefined)
    buffers.giveBack(await large)
  })

  it('are not waited for any more when the client goes, and who stands behind is served', async () => {
    const buffers = new WindowBuffers(8 * KiB)
    const held = taken(buffers, 4 * KiB)
    const leaving = new AbortController()
    const large = buffers.take(8 * KiB, leaving.signal)
    const small = buffers.take(4 * KiB, new AbortController().signal)
    assert.equal(buffers.waiting, 2)
    leaving.abort(new Error('gone'))
    await assert.rejects(large, /gone/)
    buffers.giveBack(await small)
    buffers.giveBack(held)
    assert.equal(buffers.usedBytes, 0)
    assert.equal(buffers.waiting, 0)
  })

  it('are not waited for by a client that has gone before', async () => {
    const buffers = new WindowBuffers(4 * KiB)
    const held = taken(buffers, 1)
    await assert.rejects(buffers.take(1, AbortSignal.abort(new Error('gone'))), /gone/)
    assert.equal(buffers.waiting, 0)
    buffers.giveBack(held)
  })

  it('are never more than the budget, nor one of them two at once, whatever is asked', async () => {
    const budget = 64 * KiB
    const step = fc.oneof(
      fc.record({ what: fc.constant('take'), length: fc.integer({ min: 1, max: budget }) }),
      fc.record({ what: fc.constantFrom('give', 'leave'), length: fc.constant(0) })
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const buffers = new WindowBuffers(budget)
        const held = new Set<Block>()
        const waiting: AbortController[] = []
        const all: Promise<void>[] = []
        const hold = (block: Block) => {
          assert.ok(!held.has(block), 'given to two')
          held.add(block)
        }
        const give = () => {
          for (const block of held) {
            held.delete(block)
            return buffers.giveBack(block)
          }
        }
        for (const { what, length } of steps) {
          if (what === 'take') {
            const asker = new AbortController()
            waiting.push(asker)
            all.push(buffers.take(length, asker.signal).then(hold, () => {}))
          } else if (what === 'give') give()
          else waiting.shift()?.abort()
          await nextTurn()
          const sum = [...held].reduce((sum, { buffer }) => sum + buffer.length, 0)
          assert.equal(buffers.usedBytes, sum)
          assert.ok(sum <= budget)
        }
        while (buffers.waiting > 0 || held.size > 0) {
          give()
          await nextTurn()
        }
        await Promise.all(all)
        assert.equal(buffers.usedBytes, 0)
      }),
      { numRuns: 100 }
    )
  })
})

function taken(buffers: WindowBuffers, length: number): Block {
  const block = buffers.tryTake(length)
  assert.ok(block !== undefined)
  return block
}

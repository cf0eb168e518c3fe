import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { sortInTurns, Turn } from '#src/storage/turn.ts'

describe('a sort in turns', () => {
  it('sorts as Array.sort does, and keeps the order of equals', async () => {
    const item = fc.record({ key: fc.integer({ min: 0, max: 50 }), place: fc.integer() })
    await fc.assert(
      fc.asyncProperty(fc.array(item, { maxLength: 3000, size: 'max' }), async (items) => {
        const compare = (a: { key: number }, b: { key: number }) => a.key - b.key
        assert.deepEqual(await sortInTurns(items, compare), [...items].sort(compare))
      }),
      { numRuns: 15 }
    )
  })

  it('lets the event loop turn', async () => {
    let turns = 0
    const timer = setInterval(() => turns++, 0)
    const items = Array.from({ length: 100_000 }, (_, i) => `${(i * 7919) % 100_003}`)
    await sortInTurns(items, (a, b) => (a < b ? -1 : 1))
    clearInterval(timer)
    assert.ok(turns >= 5, `${turns} turns`)
  })
})

it('a turn is over after some work, and not before', async () => {
  const turn = new Turn()
  const end = performance.now() + 5
  while (performance.now() < end);
  assert.ok(turn.isOver() instanceof Promise)
})

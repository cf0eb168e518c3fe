/** Which ranges the load harness asks for. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type Pattern, rangeField, requests } from '#src/advise/access.ts'

const patterns: Pattern[] = ['uniform', 'zipf', 'sequential', 'tiles', 'columns', 'multi', 'whole']
const access = fc.record({
  pattern: fc.constantFrom(...patterns),
  rangeBytes: fc.integer({ min: 1, max: 2 ** 20 })
})
const fileBytes = fc.integer({ min: 2 ** 20, max: 2 ** 40 })
const seed = fc.integer({ min: 0, max: 2 ** 31 })

function take(...given: Parameters<typeof requests>) {
  const wanted = requests(...given)
  return Array.from({ length: 100 }, () => wanted.next().value)
}

describe('requests of the load', () => {
  it('lie within the file, and none is empty', () => {
    fc.assert(
      fc.property(access, fileBytes, seed, (how, bytes, seed) => {
        for (const [start, length] of take(how, bytes, seed).flat()) {
          assert.ok(start >= 0 && length > 0 && start + length <= bytes, `${start}+${length}`)
        }
      })
    )
  })

  it('are the same from the same seed, and others from another', () => {
    const how = { pattern: 'uniform', rangeBytes: 4096 } as const
    assert.deepEqual(take(how, 2 ** 28, 7), take(how, 2 ** 28, 7))
    assert.notDeepEqual(take(how, 2 ** 28, 7), take(how, 2 ** 28, 8))
  })

  it('sequential: each begins where the one before ended, and from the end at the beginning', () => {
    const pieces = take({ pattern: 'sequential', rangeBytes: 2 ** 16 }, 2 ** 20, 1).flat()
    for (const [index, [start]] of pieces.entries()) {
      const before = pieces[index - 1]
      if (before !== undefined) assert.equal(start, (before[0] + before[1]) % 2 ** 20)
    }
  })

  it('zipf: few are asked for often', () => {
    const starts = take({ pattern: 'zipf', rangeBytes: 4096 }, 2 ** 28, 1).flat()
    assert.ok(new Set(starts.map(([start]) => start)).size < 90)
  })

  it('multi: several pieces in order, none touching the next', () => {
    for (const pieces of take({ pattern: 'multi', rangeBytes: 4096 }, 2 ** 28, 1)) {
      assert.equal(pieces.length, 8)
      for (const [index, [start]] of pieces.entries()) {
        const before = pieces[index - 1]
        if (before !== undefined) assert.ok(start > before[0] + before[1])
      }
    }
  })

  it('columns: the end of the file first', () => {
    const [[tail] = []] = take({ pattern: 'columns', rangeBytes: 2 ** 19 }, 2 ** 28, 1)
    assert.deepEqual(tail, [2 ** 28 - 8, 8])
  })

  it('become a Range field', () => {
    assert.equal(rangeField([]), undefined)
    assert.equal(rangeField([[5, 10]]), 'bytes=5-14')
    const two = [
      [0, 1],
      [10, 2]
    ] as const
    assert.equal(rangeField(two), 'bytes=0-0,10-11')
  })
})

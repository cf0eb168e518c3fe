/** How cold windows are with how much memory. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type Access, coldShareOf, curveOf } from '#src/advise/cold-share.ts'
import { LruStack } from '#src/advise/stack-distance.ts'

/** The definition itself: a list, the latest first. */
class NaiveLru {
  #keys: number[] = []

  access(key: number): number {
    const distance = this.#keys.indexOf(key)
    this.#keys = [key, ...this.#keys.filter((other) => other !== key)]
    return distance === -1 ? Number.POSITIVE_INFINITY : distance
  }
}

/** Misses of a cache of so many keys. */
function missesOf(keys: readonly number[], capacity: number): number {
  const cache: number[] = []
  let misses = 0
  for (const key of keys) {
    const at = cache.indexOf(key)
    if (at === -1) misses++
    else cache.splice(at, 1)
    cache.unshift(key)
    cache.length = Math.min(cache.length, capacity)
  }
  return misses
}

describe('LRU stack distances', () => {
  it('are how many others were used since', () => {
    const stack = new LruStack()
    const distances = [1, 2, 3, 1, 1, 3, 2].map((key) => stack.access(key))
    assert.deepEqual(distances, [Infinity, Infinity, Infinity, 2, 0, 1, 2])
    assert.equal(stack.size, 3)
  })

  it('are those of a list, for any keys', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 300 }), (keys) => {
        const [stack, naive] = [new LruStack(), new NaiveLru()]
        for (const key of keys) assert.equal(stack.access(key), naive.access(key))
      })
    )
  })

  it('stay so when times are numbered again, with few keys and with many', () => {
    for (const distinct of [5, 700, 3000]) {
      const [stack, naive] = [new LruStack(), new NaiveLru()]
      let state = 1
      for (let i = 0; i < 8000; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0
        const key = state % distinct
        assert.equal(stack.access(key), naive.access(key), `${distinct} keys, access ${i}`)
      }
    }
  })
})

const page = 4096
const window = 4 * page

describe('the share of cold windows', () => {
  it('is that of a cache of that size, for single pages', () => {
    const keys = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 200 })
    fc.assert(
      fc.property(keys, fc.integer({ min: 1, max: 25 }), (pages, capacity) => {
        const accesses = pages.map((n) => ({ file: 0, start: n * page, end: (n + 1) * page }))
        const share = coldShareOf(accesses, window, page).at(capacity * page)
        assert.ok(Math.abs(share - missesOf(pages, capacity) / pages.length) < 1e-9)
      })
    )
  })

  it('falls with the memory, down to the first touches', () => {
    const access = fc.record({
      file: fc.integer({ min: 0, max: 2 }),
      start: fc.integer({ min: 0, max: 300_000 }),
      length: fc.integer({ min: 1, max: 60_000 })
    })
    fc.assert(
      fc.property(fc.array(access, { minLength: 1, maxLength: 60 }), (given) => {
        const accesses = given.map(({ file, start, length }) => ({
          file,
          start,
          end: start + length
        }))
        const cold = coldShareOf(accesses, window, page)
        const shares = curveOf(cold).map(({ share }) => share)
        for (const [i, share] of shares.entries()) {
          assert.ok(share <= (shares[i - 1] ?? 1) && share >= cold.firstTouches - 1e-9)
        }
        assert.ok(Math.abs(cold.at(cold.footprintBytes) - cold.firstTouches) < 1e-9)
        assert.equal(cold.steadyAt(cold.footprintBytes), 0)
      })
    )
  })

  it('a window is cold if one of its pages is; a long range has several windows', () => {
    const whole: Access = { file: 0, start: 0, end: 8 * page }
    const cold = coldShareOf([{ file: 0, start: 0, end: page }, whole], window, page)
    assert.equal(cold.windows, 3)
    assert.equal(cold.firstTouches, 1)
    const twice = coldShareOf([whole, whole], window, page)
    assert.equal(twice.at(8 * page), 0.5)
    assert.equal(twice.at(7 * page), 1)
    assert.equal(twice.steadyAt(7 * page), 1)
  })

  it('files do not share pages', () => {
    const accesses = [0, 1, 0, 1].map((file) => ({ file, start: 0, end: page }))
    assert.equal(coldShareOf(accesses, window, page).at(page), 1)
    assert.equal(coldShareOf(accesses, window, page).at(2 * page), 0.5)
  })

  it('of nothing is nothing', () => {
    const cold = coldShareOf([], window, page)
    assert.deepEqual([cold.at(0), cold.steadyAt(0), cold.firstTouches], [0, 0, 0])
  })
})

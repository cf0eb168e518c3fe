import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { nearestOf, slipsBetween } from '#src/config/nearest.ts'

describe('slips of the keyboard', () => {
  it('are letters added, left out, exchanged, or swapped with their neighbour', () => {
    for (const [a, b, slips] of [
      ['', '', 0],
      ['', 'abc', 3],
      ['port', 'prot', 1],
      ['port', 'port', 0],
      ['port', 'pot', 1],
      ['port', 'poort', 1],
      ['port', 'part', 1],
      ['ab', 'ba', 1],
      ['kitten', 'sitting', 3]
    ] as const) {
      assert.equal(slipsBetween(a, b), slips, `${a}, ${b}`)
      assert.equal(slipsBetween(b, a), slips, `${b}, ${a}`)
    }
  })

  it('are none only between equal words, and no more than letters', () => {
    const word = fc.string({ maxLength: 12 })
    fc.assert(
      fc.property(word, word, (a, b) => {
        const slips = slipsBetween(a, b)
        assert.equal(slips === 0, a === b)
        assert.ok(slips <= Math.max(a.length, b.length))
        assert.ok(slips >= Math.abs(a.length - b.length))
      })
    )
  })

  it('lead to the nearest word, and to none that is too far', () => {
    const words = ['port', 'prefix', 'max-ranges', 'max-open-files', 'cors-origin']
    assert.equal(nearestOf('porf', words), 'port')
    assert.equal(nearestOf('max-open', words), 'max-open-files')
    assert.equal(nearestOf('cors', words), 'cors-origin', 'its beginning, though port is nearer')
    assert.equal(nearestOf('max', words), undefined)
    assert.equal(nearestOf('colour', words), undefined)
  })
})

/** What measurements say, and when they say nothing. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  comparePairs,
  compareRuns,
  smallestEffect,
  studentQuantile,
  studentShare
} from '#src/advise/statistics.ts'

const figure = fc.double({ min: 0.001, max: 1e6, noNaN: true })
const pairs = fc.array(fc.tuple(figure, figure), { minLength: 2, maxLength: 20 })

function close(actual: number, expected: number, relative = 1e-6): void {
  assert.ok(Math.abs(actual - expected) <= relative * Math.abs(expected), `${actual}, ${expected}`)
}

describe('the distribution of Student', () => {
  it('has the quantiles of the tables (two-sided, 95 %)', () => {
    for (const [freedom, t] of [
      [1, 12.7062],
      [2, 4.30265],
      [3, 3.18245],
      [4, 2.77645],
      [5, 2.57058],
      [9, 2.26216],
      [10, 2.22814],
      [29, 2.04523],
      [30, 2.04227],
      [120, 1.97993]
    ] as const) {
      close(studentQuantile(freedom), t, 5e-6)
    }
  })

  it('approaches the normal distribution', () => close(studentQuantile(100_000), 1.95996, 2e-5))

  it('is a probability that grows with t and with the degrees of freedom', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 50, noNaN: true }),
        fc.integer({ min: 1, max: 200 }),
        (t, freedom) => {
          const share = studentShare(t, freedom)
          assert.ok(share >= 0 && share <= 1 + 1e-12)
          assert.ok(studentShare(t + 0.1, freedom) >= share - 1e-12)
          assert.ok(studentShare(t, freedom + 1) >= share - 1e-9)
        }
      ),
      { numRuns: 300 }
    )
  })
})

describe('two servers, measured in the same rounds', () => {
  it('an example by hand: logarithms 0.1, 0.2, 0.3', () => {
    const given = [0.1, 0.2, 0.3].map((log) => [Math.exp(log), 1] as const)
    const { kind, ratio, interval, rounds } = comparePairs(given)
    close(ratio, Math.exp(0.2))
    const half = (4.302653 * 0.1) / Math.sqrt(3)
    close(interval?.[0] as number, Math.exp(0.2 - half))
    close(interval?.[1] as number, Math.exp(0.2 + half))
    assert.equal(kind, 'undecided')
    assert.equal(rounds, 3)
  })

  it('a drift of the machine that hits both does not widen the interval', () => {
    const { kind, ratio, interval } = comparePairs([1, 5, 100].map((drift) => [2 * drift, drift]))
    assert.equal(kind, 'more')
    close(ratio, 2)
    close((interval?.[1] as number) / (interval?.[0] as number), 1)
  })

  it('less than the smallest effect is none, however sure', () => {
    assert.equal(comparePairs(Array(5).fill([1.03, 1])).kind, 'same')
    assert.equal(comparePairs(Array(5).fill([0.97, 1])).kind, 'same')
    assert.equal(comparePairs(Array(5).fill([1.06, 1])).kind, 'more')
    assert.equal(comparePairs(Array(5).fill([0.94, 1])).kind, 'less')
  })

  it('one round has no interval, none has no ratio; what answered nothing is left out', () => {
    const one = comparePairs([[3, 2]])
    assert.deepEqual([one.kind, one.ratio, one.interval], ['unknown', 1.5, undefined])
    const none = comparePairs([
      [0, 2],
      [Number.NaN, 2]
    ])
    assert.deepEqual([none.kind, none.rounds], ['unknown', 0])
    assert.ok(Number.isNaN(none.ratio))
  })

  it('the other way round is the inverse, with the same answer', () => {
    const opposite = { more: 'less', less: 'more' } as Record<string, string>
    fc.assert(
      fc.property(pairs, (given) => {
        const there = comparePairs(given)
        const back = comparePairs(given.map(([a, b]) => [b, a]))
        close(there.ratio * back.ratio, 1)
        close((there.interval?.[0] as number) * (back.interval?.[1] as number), 1)
        assert.equal(back.kind, opposite[there.kind] ?? there.kind)
      })
    )
  })

  it('units do not matter, and the interval holds the ratio', () => {
    fc.assert(
      fc.property(pairs, figure, (given, unit) => {
        const { ratio, interval, kind } = comparePairs(given)
        close(comparePairs(given.map(([a, b]) => [a * unit, b * unit])).ratio, ratio)
        const [low, high] = interval as readonly [number, number]
        assert.ok(low <= ratio && ratio <= high)
        if (kind === 'more') assert.ok(low > 1)
        if (kind === 'less') assert.ok(high < 1)
        if (kind === 'same') assert.ok(low > 1 / (1 + smallestEffect) && high < 1 + smallestEffect)
      })
    )
  })

  it('as many rounds of the same noise as it says would settle it', () => {
    fc.assert(
      fc.property(pairs, (given) => {
        const { kind, roundsToSettle } = comparePairs(given)
        assert.equal(roundsToSettle !== undefined, kind === 'undecided')
        if (roundsToSettle !== undefined) assert.ok(roundsToSettle > given.length)
      })
    )
    // rounds that alternate have nearly the same deviation, however many there are
    const alternating = (rounds: number) =>
      Array.from({ length: rounds }, (_, i) => [i % 2 === 0 ? 1.3 : 1 / 1.2, 1] as const)
    const { roundsToSettle: needed } = comparePairs(alternating(10))
    assert.ok(needed !== undefined && needed > 10)
    const settled = needed + (needed % 2) + 4
    assert.notEqual(comparePairs(alternating(settled)).kind, 'undecided')
  })

  it('in 100 experiments the interval holds the true ratio about 95 times', () => {
    // normal noise from a fixed seed, by Box and Muller
    let state = 12345
    const random = () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0
      return (state + 0.5) / 2 ** 32
    }
    const normal = () => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random())
    let held = 0
    for (let experiment = 0; experiment < 2000; experiment++) {
      const given = Array.from({ length: 5 }, () => [1.7 * Math.exp(0.2 * normal()), 1] as const)
      const [low, high] = comparePairs(given).interval as readonly [number, number]
      if (low <= 1.7 && 1.7 <= high) held++
    }
    assert.ok(held > 1870 && held < 1930, `${held} of 2000`)
  })
})

describe('two runs, not measured in the same rounds', () => {
  it('an example by hand: Welch, with degrees of freedom rounded down', () => {
    const [a, b] = [
      [0.5, 0.6, 0.7],
      [0.1, 0.3, 0.2, 0.4]
    ].map((logs) => logs.map(Math.exp)) as [number[], number[]]
    const { ratio, interval, kind } = compareRuns(a, b)
    close(ratio, Math.exp(0.35))
    // variances of the means 0.01 / 3 and 0.016667 / 4; 4.96 degrees of freedom
    const half = 2.776445 * Math.sqrt(0.01 / 3 + 0.0166666667 / 4)
    close(interval?.[1] as number, Math.exp(0.35 + half), 1e-5)
    assert.equal(kind, 'more')
  })

  it('the same run twice is no difference, if it is quiet', () => {
    assert.equal(compareRuns([100, 101, 99], [100, 101, 99]).kind, 'same')
    assert.equal(compareRuns([100, 200, 50], [100, 200, 50]).kind, 'undecided')
    assert.equal(compareRuns([100], [200]).kind, 'unknown')
  })
})

/** From trials to figures and sentences. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { latencySentence } from '#load/charts.ts'
import { missedRates } from '#load/report.ts'
import { explanations, rowsOf, verdictsOf } from '#load/statistics.ts'
import type { Trial } from '#load/trial.ts'

function trial(mode: string, round: number, requests: number, p99 = 1000): Trial {
  const same = { p50: 100, p75: 100, p90: 100, p99, p999: p99, p9999: p99, max: p99 }
  return {
    scenario: 'hot-4k',
    mode,
    round,
    residentShareBefore: 1,
    backgroundResidentShareBefore: undefined,
    residentShareAfter: 1,
    isStateProved: true,
    result: {
      requests,
      bytes: requests * 4096,
      seconds: 2,
      requestsWithWarmUp: 2 * requests,
      bytesWithWarmUp: 2 * requests * 4096,
      secondsWithWarmUp: 2,
      failures: 1,
      generatorCpuShare: 0.5,
      wrongBytes: 0,
      samplesCompared: 1,
      latencyMicroseconds: same,
      timelineRequests: []
    },
    used: mode === 'peer' ? {} : { userCpuSeconds: 1, systemCpuSeconds: 1, majorFaults: 3 },
    timelineMajorFaults: [],
    timelineBlockInputBytes: [],
    timelineTlbShootdowns: [],
    isAliveAfter: true
  }
}

describe('figures of the load', () => {
  it('ratios are taken within rounds, so that a machine that drifts does not make one', () => {
    const trials = [1000, 2000, 3000].flatMap((rate, round) => [
      trial('mmap', round, rate),
      trial('read', round, rate / 2)
    ])
    // another order within a later round
    trials.reverse()
    trials.unshift(trials.pop() as Trial)
    const [mmap, read] = rowsOf(trials, 'hot-4k')
    assert.equal(mmap?.mode, 'mmap')
    assert.equal(mmap?.requestsPerSecond, 1000)
    assert.equal(mmap?.spread, 1)
    assert.equal(read?.toFirst.ratio.toFixed(6), '0.500000')
    assert.deepEqual(mmap?.requestsPerSecondRange, [500, 1500])
    assert.equal(read?.failures, 3)
    assert.equal(mmap?.cpuMicroseconds, 500, '2 s for 4,000 requests with those of the warm-up')
  })

  it('what a server does not tell is unknown, not zero', () => {
    const rows = rowsOf([trial('mmap', 0, 10), trial('peer', 0, 10)], 'hot-4k')
    assert.equal(rows[0]?.majorFaults, 3)
    assert.equal(rows[1]?.majorFaults, undefined)
    assert.equal(rows[1]?.cpuMicroseconds, undefined)
  })

  it('sentences name the winner, whoever it is', () => {
    const lost = rowsOf([trial('mmap', 0, 100, 2000), trial('peer', 0, 300, 1000)], 'hot-4k')
    assert.match(latencySentence(lost), /2 ms with mmap; peer 1 ms \(0.5 times that\)/)
    const won = rowsOf([trial('mmap', 0, 300), trial('peer', 0, 100, 5000)], 'hot-4k')
    assert.match(latencySentence(won), /peer 5 ms \(5 times that\)/)
  })

  it('the first mode is compared with each other, with read before all others', () => {
    const trials = [0, 1, 2].flatMap((round) => [
      trial('mmap', round, 2000, 500),
      trial('peer', round, 4000, 500),
      trial('read', round, 1000, 2000)
    ])
    const [read, peer] = verdictsOf(trials, 'hot-4k', false)
    assert.equal(read?.sentence, 'mmap answers 2 times (2 to 2) the requests of read')
    assert.equal(peer?.comparison.ratio.toFixed(6), '0.500000')
    const [paced] = verdictsOf(trials, 'hot-4k', true)
    assert.match(paced?.sentence as string, /^99 % of the answers of mmap take 0\.25 times/)
    assert.deepEqual(verdictsOf(trials, 'other', false), [])
  })

  it('a fixed rate that was not reached is told, and what has no rate is not late', () => {
    const paced = (mode: string, requests: number) => ({
      ...trial(mode, 0, requests),
      scenario: 'fixed-rate'
    })
    // of 2,000 a second, in 2 s
    const [told, ...others] = missedRates([paced('mmap', 3900), paced('read', 1000)], 'fixed-rate')
    assert.match(told ?? '', /^in 1 of 2 trials \(read\) less than 90 % of 2,000 requests a second/)
    assert.deepEqual(others, [])
    assert.deepEqual(missedRates([trial('mmap', 0, 1)], 'hot-4k'), [])
  })

  it('what differs by a factor of two is told, and what does not is not', () => {
    const counted = (mode: string, tlbShootdowns: number) => ({
      ...trial(mode, 0, 100),
      used: { tlbShootdowns, majorFaults: 3 }
    })
    const told = (a: number, b: number) =>
      explanations(rowsOf([counted('mmap', a), counted('read', b)], 'hot-4k'))
    assert.deepEqual(told(20_000, 2000), ['TLB shootdowns a second: mmap 10,000, read 1,000'])
    assert.deepEqual(told(20_000, 19_000), [])
    assert.deepEqual(told(20, 2), [])
  })
})

/** The page about mmap, from results that are made up. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { type Claim, claims } from '#load/claims.ts'
import { installedPeers, textbookModes } from '#load/peers.ts'
import type { Report } from '#load/report.ts'
import { scenarios } from '#load/scenarios.ts'
import type { Trial } from '#load/trial.ts'
import { trialPage } from '#load/trial-page.ts'
import { ownModes } from '#src/advise/service.ts'

const claimOf = (name: string) => claims.find((claim) => claim.name === name) as Claim

function report(scenario: string, rounds: Record<string, readonly number[]>): Report {
  const trials = Object.entries(rounds).flatMap(([mode, rates]) =>
    rates.map((requests, round) => ({
      scenario,
      mode,
      round,
      isStateProved: round === 0,
      result: {
        ...{ requests, bytes: requests, seconds: 1, failures: 0 },
        ...{ requestsWithWarmUp: requests, bytesWithWarmUp: requests, secondsWithWarmUp: 1 },
        ...{ latencyMicroseconds: { p99: 1000 }, timelineRequests: [1, 0, 8], samplesCompared: 0 },
        wrongBytes: 0
      },
      used: { userCpuSeconds: 1, systemCpuSeconds: 0, majorFaults: 0, tlbShootdowns: 0 },
      ...{ timelineMajorFaults: [0], timelineTlbShootdowns: [0] },
      isAliveAfter: mode !== 'textbook-checksum',
      ...(mode === 'textbook-checksum' ? { signal: 'SIGBUS' } : {})
    }))
  ) as unknown as Trial[]
  const settings = {
    scenarios: [{ name: scenario, says: 'some ranges', isPaced: false }],
    modes: [],
    ...{ rounds: 3, secondsOfTrial: 1, seed: 1, mainFileBytes: 1, largeFileBytes: 1 }
  }
  const machine = { date: 'today' } as Report['machine']
  return { machine, settings, trials, skipped: [], generatorChecks: [] }
}

describe('docs/mmap-on-trial.md', () => {
  it('claims name scenarios and modes that there are', () => {
    const modes = [...ownModes, ...installedPeers(), ...textbookModes()].map(({ name }) => name)
    const optional = /^(nginx|textbook)/
    for (const claim of claims) {
      for (const name of claim.scenarios) assert.ok(scenarios.some((each) => each.name === name))
      for (const name of claim.modes) assert.ok(modes.includes(name) || optional.test(name), name)
      for (const { scenario, first, second } of claim.questions) {
        assert.ok(claim.scenarios.includes(scenario), `${claim.name}: ${scenario}`)
        for (const mode of [first, second]) assert.ok(claim.modes.includes(mode), mode)
      }
    }
  })

  it('a claim holds, does not, or is undecided, as the interval says', () => {
    const claim = claimOf('fast-drives')
    const verdictOf = (unguarded: readonly number[]) =>
      trialPage([
        {
          claim,
          report: report('cold-64k', {
            mmap: [100, 101, 99],
            'mmap-unguarded': unguarded,
            read: [100, 100, 100]
          })
        }
      ])
    assert.match(
      verdictOf([50, 51, 49]),
      /\*\*holds here\*\*: cold-64k: mmap-unguarded answers 0\.5/
    )
    assert.match(verdictOf([100, 101, 99]), /\*\*does not hold here\*\*: cold-64k: no difference/)
    assert.match(verdictOf([20, 100, 300]), /\*\*undecided here\*\*: .*the noise is too large/)
    const page = verdictOf([50, 51, 49])
    assert.match(page, /^ {2}mmap-unguarded {6}█{18}·{18} 50 {2}\(49 to 51\)$/m)
    assert.match(page, /proved, before and after, in 3 of 9 trials/)
    assert.ok(
      page.split('\n').every((line) => line.startsWith('  ') === false || line.length <= 100)
    )
  })

  it('who died is told, and a claim that was not run is not judged', () => {
    const page = trialPage([
      {
        claim: claimOf('truncation'),
        report: report('truncate', { mmap: [9, 9], 'textbook-checksum': [1, 1] })
      },
      { claim: claimOf('eviction'), report: undefined }
    ])
    assert.match(page, /\*\*holds here\*\*: textbook-checksum died by SIGBUS in 2 of 2 rounds/)
    assert.match(page, /- mmap answered afterwards in every round/)
    assert.match(
      page,
      /\| \[Data outgrows memory\]\(#data-outgrows-memory\) \| not measured here \|/
    )
  })

  it('requests, faults and shootdowns are drawn over time; of what is not counted nothing is said', () => {
    const rounds = { mmap: [9, 9], textbook: [9, 9], read: [9, 9] }
    const page = trialPage([{ claim: claimOf('scans'), report: report('scan', rounds) }])
    assert.match(page, /^ {2}textbook {12}▁·█$/m)
    assert.match(page, /^scan: major faults: none$/m)
    const churn = { 'textbook-each': [9, 9], textbook: [9, 9] }
    assert.match(
      trialPage([{ claim: claimOf('churn'), report: report('any-cpu', churn) }]),
      /\*\*cannot be shown here\*\*: any-cpu: TLB shootdowns .* none with textbook-each/
    )
  })
})

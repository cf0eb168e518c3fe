/** Sentences about two servers, and the advice that follows. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { fileSystemOf } from '#src/advise/files.ts'
import { type Figures, judge } from '#src/advise/judge.ts'
import { memoryOf } from '#src/advise/memory.ts'
import { type Finding, recommend } from '#src/advise/recommend.ts'
import { table, wrapped } from '#src/advise/text.ts'

const figures = (requests: readonly number[], more: Partial<Figures> = {}): Figures[] =>
  requests.map((requestsPerSecond, round) => ({
    round,
    requestsPerSecond,
    p99Ms: 1000 / requestsPerSecond,
    cpuMicroseconds: 10,
    generatorCpuShare: 0.5,
    ...more
  }))

function sentence(a: readonly Figures[], b: readonly Figures[], isPaced = false): string {
  return judge({ name: 'mmap', figures: a }, { name: 'read', figures: b }, isPaced).sentence
}

describe('the verdict', () => {
  it('is a ratio with its interval', () => {
    assert.equal(
      sentence(figures([170, 171, 169, 170, 170]), figures([100, 100, 100, 100, 100])),
      'mmap answers 1.7 times (1.69 to 1.71) the requests of read'
    )
  })

  it('or that no difference can be shown', () => {
    assert.match(
      sentence(figures([100, 101, 99, 100, 100]), figures([100, 100, 100, 100, 100])),
      /^no difference between mmap and read that 5 rounds can show: .* less than 5 % does not count$/
    )
  })

  it('or that the noise is too large, and what would settle it', () => {
    assert.match(
      sentence(figures([100, 200, 50]), figures([100, 100, 100])),
      /^undecided, the noise is too large: mmap answers 1 times \(.*\) .* in 3 rounds; (more than 1,000|about [\d,]+) rounds would settle it$/
    )
    assert.match(sentence(figures([1, 9000]), figures([9000, 1])), /1 times \(<0\.001 to >1,000\)/)
  })

  it('at a fixed rate it is about latency', () => {
    assert.match(
      sentence(figures([400, 401, 399]), figures([100, 100, 100]), true),
      /^99 % of the answers of mmap take 0\.25 times \(.*\) as long as those of read$/
    )
  })

  it('says when the load generator was the limit; of both, CPU time is compared', () => {
    const busy = { generatorCpuShare: 0.99 }
    assert.match(
      sentence(figures([200, 200, 200], busy), figures([100, 100, 100])),
      /^mmap answers 2 times .*\(with mmap the load generator was the limit\)$/
    )
    assert.match(
      sentence(
        figures([200, 200, 200], { ...busy, cpuMicroseconds: 5 }),
        figures([200, 200, 200], busy)
      ),
      /^mmap takes 0\.5 times .* the CPU time of read for each request \(of requests/
    )
  })

  it('one round has no interval, and nobody is compared with what answered nothing', () => {
    assert.match(sentence(figures([200]), figures([100])), /2 times .*in one round/)
    assert.match(sentence(figures([0]), figures([100])), /cannot be compared/)
  })
})

describe('the advice', () => {
  const finding = (
    other: string,
    requests: readonly number[],
    state: Finding['state'] = 'in memory'
  ): Finding => ({
    state,
    other,
    ...judge(
      { name: 'mmap', figures: figures(requests) },
      { name: other, figures: figures([100, 100, 100, 100, 100]) },
      false
    )
  })
  const faster = [200, 201, 199, 200, 200]
  const same = [100, 101, 99, 100, 100]
  const slower = [50, 50.1, 49.9, 50, 50]
  const noisy = [10, 500, 90, 300, 40]
  const files = [{ isTrusted: true, isLocal: true }]
  const choose = (...findings: Finding[]) => recommend({ files, steadyColdShare: 0, findings })

  it('is to map where mapping is faster than everything', () => {
    assert.equal(choose(finding('read', faster), finding('nginx', faster)).choice, 'mmap')
    assert.equal(choose(finding('read', faster)).choice, 'mmap')
  })

  it('is nginx where that is no slower', () => {
    const equal = choose(finding('read', faster), finding('nginx', same))
    assert.equal(equal.advice, 'Use nginx: there is no difference here.')
    const lost = choose(finding('read', faster), finding('nginx', slower))
    assert.equal(lost.advice, 'Use nginx: it is faster here.')
  })

  it('is not nginx where nothing was shown of it, nor where reads are faster than both', () => {
    const open = choose(finding('read', faster), finding('nginx', noisy))
    assert.equal(open.choice, 'mmap')
    assert.match(open.advice, /^Map these files, .* Against nginx it is undecided: measure/)
    assert.equal(choose(finding('read', same), finding('nginx', noisy)).choice, 'read')
    assert.equal(choose(finding('read', slower), finding('nginx', same)).choice, 'read')
  })

  it('is to read where mapping brings nothing', () => {
    const equal = choose(finding('read', same))
    assert.equal(equal.advice, 'Use --mode read: mapping makes no difference here.')
    assert.equal(choose(finding('read', slower)).advice, 'Use --mode read: mapping is slower here.')
  })

  it('is none where the noise is too large', () => {
    assert.equal(choose(finding('read', noisy), finding('nginx', faster)).choice, 'undecided')
    assert.match(choose(finding('read', [200])).advice, /^Undecided: one round /)
  })

  it('goes by cold trials where the memory is too small', () => {
    const findings = [finding('read', faster), finding('read', slower, 'cold')]
    assert.equal(recommend({ files, steadyColdShare: 0.5, findings }).choice, 'read')
    assert.equal(recommend({ files, steadyColdShare: 0.01, findings }).choice, 'mmap')
  })

  it('gives its reasons: who is not told, and what is remote', () => {
    const given = [{ isTrusted: false, isLocal: false }]
    const { reasons } = recommend({
      files: given,
      steadyColdShare: 0,
      findings: [finding('read', faster)]
    })
    assert.match(reasons.join('\n'), /run the service as the owner/)
    assert.match(reasons.join('\n'), /another machine or process/)
  })
})

describe('what the machine is', () => {
  it('the file system of a file is that of the longest mount point above it', () => {
    const mountInfo = [
      '1 0 8:1 / / rw - ext4 /dev/sda1 rw',
      '2 1 0:5 / /srv rw - tmpfs tmpfs rw',
      '3 1 0:6 / /srv/a\\040b rw shared:1 - nfs4 host:/x rw'
    ].join('\n')
    assert.equal(fileSystemOf('/srv/x', mountInfo), 'tmpfs')
    assert.equal(fileSystemOf('/srvx/x', mountInfo), 'ext4')
    assert.equal(fileSystemOf('/srv/a b/x', mountInfo), 'nfs4')
  })

  it('memory for pages is what is available, within the limit of the group', () => {
    const memInfo = 'MemTotal:  1000 kB\nMemAvailable:   600 kB\n'
    assert.deepEqual(memoryOf(memInfo, 0, 1_024_000), {
      totalBytes: 1_024_000,
      limitBytes: undefined,
      availableBytes: 614_400
    })
    assert.equal(memoryOf(memInfo, 100_000, 1_024_000).availableBytes, 100_000)
    assert.equal(memoryOf(memInfo, 2 ** 60, 1_024_000).limitBytes, undefined)
  })
})

describe('text for a terminal', () => {
  it('is no wider than 100 columns, and no word is lost', () => {
    const words = Array.from({ length: 60 }, (_, i) => `word${i}`).join(' ')
    const lines = wrapped(words, '  → ')
    assert.ok(lines.length > 1 && lines.every((line) => line.length <= 100))
    assert.equal(lines.map((line) => line.trim()).join(' '), `→ ${words}`)
    const long = table([
      ['mode', 'a'],
      ['x'.repeat(200), '1'],
      ['short', '1,000']
    ])
    assert.ok(long.every((line) => line.length <= 100))
    assert.match(long[1] as string, /x…/)
  })
})

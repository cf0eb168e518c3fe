/** What a run shows while it measures. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { frame, startLive, type View } from '#load/live.ts'

const view: View = {
  done: 5,
  total: 9,
  elapsedMs: 40_000,
  what: 'hot-4k, mmap',
  rates: [10, 20_000, 40_000],
  histogram: [0, 10, 80, 10],
  ended: ['hot-4k, read: 9,000 requests/s']
}

/** A stream that keeps what is written. */
function recorder(isTTY: boolean) {
  const written: string[] = []
  const stream = { isTTY, columns: 80, write: (text: string) => written.push(text) }
  return { written, live: startLive(stream as unknown as NodeJS.WriteStream) }
}

describe('the view of a run', () => {
  it('has progress, time left, the rate and a histogram', () => {
    const text = frame(view, 100).join('\n')
    assert.match(text, /5\/9 {2}50 s left/)
    assert.match(text, /hot-4k, mmap: 40,000 requests\/s {2}▁/)
    assert.match(text, /≤ 128 µs █+ +10\.0 %/)
    assert.match(text, /≤ 256 µs █{40} {2}80\.0 %/)
    assert.match(text, /hot-4k, read: 9,000/)
  })

  it('fits the terminal', () => {
    for (const columns of [30, 80, 200]) {
      for (const line of frame(view, columns)) assert.ok(line.length < Math.min(columns, 101), line)
    }
  })

  it('is drawn again in place on a terminal, and lines that stay come above it', () => {
    const { written, live } = recorder(true)
    live.begin(1, 2, 'a')
    live.tell({ requestsPerSecond: 5, histogram: [1] })
    const up = written.at(-2) as string
    assert.equal(up, `\x1b[${(written[0] as string).split('\n').length - 1}A\x1b[0J`)
    live.say('stays')
    assert.ok(written.indexOf('stays\n') < written.length - 1, 'the view is drawn below')
    live.close()
    assert.ok(written.at(-1)?.endsWith('\x1b[0J'), 'nothing of it is left')
    assert.match(written.join(''), /stays\n/)
  })

  it('elsewhere is one plain line for each trial', () => {
    const { written, live } = recorder(false)
    live.begin(1, 2, 'a')
    live.tell({ requestsPerSecond: 5, histogram: [1] })
    live.end('5 requests/s')
    live.close()
    assert.equal(written.length, 1)
    assert.match(written[0] as string, /^\d\d:\d\d:\d\d {2}1\/2 {2}a\n$/)
  })
})

/**
 * Answers with and without the fast path are the same, byte for byte but for Date and the boundary of multipart.
 * FAST_PATH_REQUESTS sends more requests than a test run has time for, FAST_PATH_SEED others
 * (scripts/compare-fast-path.mjs).
 */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { compareMany, fastRequests, servePair } from '../support/compare-answers.ts'

const requests = Number(process.env.FAST_PATH_REQUESTS ?? 2400)
const seed = Number(process.env.FAST_PATH_SEED ?? 20261125)

for (const args of [
  ['--cors-origin', '*'],
  ['--mode', 'read', '--cors-origin', 'https://a.example,https://b.example'],
  ['--cors-origin', 'https://a.example', '--server-timing', 'on'],
  ['--cors-origin', 'off', '--guard', 'off', '--window-bytes', '4KiB', '--region-bytes', '8KiB']
]) {
  it(`the same answers with and without the fast path, ${args.join(' ')}`, async (t) => {
    const pair = await servePair(t, args)
    const comparison = await compareMany(pair, seed, requests / 4)
    const { connections, sentToFast, cut, differences } = comparison
    const share = (await fastRequests(pair)) / sentToFast
    t.diagnostic(
      `${comparison.requests} requests on ${connections} connections, ${Math.round(share * 100)} % answered by the fast path; ` +
        `${cut} connections were cut by node:http; ${differences.length} differences`
    )
    assert.equal(differences.join('\n\n'), '')
    assert.ok(share > 0.2, `${share} answered by the fast path`)
  })
}

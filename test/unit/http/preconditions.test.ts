/** Preconditions against the table of RFC 9110 §13.2.2, written out once by hand and once as a model. */
import assert from 'node:assert/strict'
import type { IncomingHttpHeaders } from 'node:http'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  evaluatePreconditions,
  ifRangeHolds,
  type PreconditionOutcome
} from '#src/http/preconditions.ts'

const modifiedMs = Date.UTC(2024, 1, 29, 12, 0, 0)
const current = { etag: '"now"', lastModifiedMs: modifiedMs }
const before = new Date(modifiedMs - 1000).toUTCString()
const same = new Date(modifiedMs).toUTCString()
const after = new Date(modifiedMs + 1000).toUTCString()

const outcomeOf = (headers: IncomingHttpHeaders) => evaluatePreconditions(headers, current)

function rows(table: readonly (readonly [IncomingHttpHeaders, PreconditionOutcome])[]): void {
  for (const [headers, outcome] of table) {
    const title = Object.entries(headers).map(([name, value]) => `${name}: ${value}`)
    it(`${title.join(' and ') || 'nothing'} gives ${outcome}`, () => {
      assert.equal(outcomeOf(headers), outcome)
    })
  }
}

describe('one precondition', () => {
  rows([
    [{}, 'proceed'],
    [{ 'if-match': '"now"' }, 'proceed'],
    [{ 'if-match': '"old", "now"' }, 'proceed'],
    [{ 'if-match': '*' }, 'proceed'],
    [{ 'if-match': '"old"' }, 'precondition-failed'],
    [{ 'if-none-match': '"now"' }, 'not-modified'],
    [{ 'if-none-match': '"old", "now"' }, 'not-modified'],
    [{ 'if-none-match': '*' }, 'not-modified'],
    [{ 'if-none-match': '"old"' }, 'proceed'],
    [{ 'if-unmodified-since': before }, 'precondition-failed'],
    [{ 'if-unmodified-since': same }, 'proceed'],
    [{ 'if-unmodified-since': after }, 'proceed'],
    [{ 'if-modified-since': before }, 'proceed'],
    [{ 'if-modified-since': same }, 'not-modified'],
    [{ 'if-modified-since': after }, 'not-modified']
  ])
})

describe('If-Unmodified-Since beside If-Match is ignored (§13.1.4)', () => {
  rows([
    [{ 'if-match': '"now"', 'if-unmodified-since': before }, 'proceed'],
    [{ 'if-match': '"now"', 'if-unmodified-since': after }, 'proceed'],
    [{ 'if-match': '"old"', 'if-unmodified-since': before }, 'precondition-failed'],
    [{ 'if-match': '"old"', 'if-unmodified-since': after }, 'precondition-failed']
  ])
})

describe('If-Modified-Since beside If-None-Match is ignored (§13.1.3)', () => {
  rows([
    [{ 'if-none-match': '"now"', 'if-modified-since': before }, 'not-modified'],
    [{ 'if-none-match': '"now"', 'if-modified-since': after }, 'not-modified'],
    [{ 'if-none-match': '"old"', 'if-modified-since': before }, 'proceed'],
    [{ 'if-none-match': '"old"', 'if-modified-since': after }, 'proceed']
  ])
})

describe('what must be unchanged comes before what must be changed (§13.2.2)', () => {
  rows([
    [{ 'if-match': '"old"', 'if-none-match': '"now"' }, 'precondition-failed'],
    [{ 'if-match': '"now"', 'if-none-match': '"now"' }, 'not-modified'],
    [{ 'if-match': '"now"', 'if-none-match': '"old"' }, 'proceed'],
    [{ 'if-match': '"old"', 'if-modified-since': after }, 'precondition-failed'],
    [{ 'if-match': '"now"', 'if-modified-since': after }, 'not-modified'],
    [{ 'if-unmodified-since': before, 'if-none-match': '"now"' }, 'precondition-failed'],
    [{ 'if-unmodified-since': after, 'if-none-match': '"now"' }, 'not-modified'],
    [{ 'if-unmodified-since': before, 'if-modified-since': same }, 'precondition-failed'],
    [{ 'if-unmodified-since': same, 'if-modified-since': same }, 'not-modified']
  ])
})

describe('a weak tag', () => {
  rows([
    // strong comparison (§13.1.1): the row of If-Match that others answer with 200
    [{ 'if-match': 'W/"now"' }, 'precondition-failed'],
    [{ 'if-match': 'W/"now", "old"' }, 'precondition-failed'],
    [{ 'if-match': 'W/"now", "now"' }, 'proceed'],
    // weak comparison (§13.1.2)
    [{ 'if-none-match': 'W/"now"' }, 'not-modified'],
    [{ 'if-none-match': 'W/"old", W/"now"' }, 'not-modified'],
    [{ 'if-none-match': 'W/"old"' }, 'proceed']
  ])
})

describe('what cannot be read', () => {
  rows([
    [{ 'if-match': '' }, 'precondition-failed'],
    [{ 'if-match': 'now' }, 'precondition-failed'],
    [{ 'if-match': '"now' }, 'precondition-failed'],
    [{ 'if-match': '"now" "now"' }, 'precondition-failed'],
    [{ 'if-none-match': '' }, 'proceed'],
    [{ 'if-none-match': 'now' }, 'proceed'],
    [{ 'if-none-match': '"now' }, 'proceed'],
    // still beside it, so that the date has no say (§13.1.3, §13.1.4)
    [{ 'if-match': 'now', 'if-unmodified-since': after }, 'precondition-failed'],
    [{ 'if-none-match': 'now', 'if-modified-since': after }, 'proceed'],
    [{ 'if-unmodified-since': 'yesterday' }, 'proceed'],
    [{ 'if-unmodified-since': '0' }, 'proceed'],
    [{ 'if-modified-since': 'tomorrow' }, 'proceed'],
    [{ 'if-modified-since': new Date(modifiedMs).toISOString() }, 'proceed'],
    [{ 'if-modified-since': `${same}, ${same}` }, 'proceed']
  ])
})

it('a request Cache-Control has no part in it: no-cache does not switch 304 off (§13.2.2)', () => {
  assert.equal(
    outcomeOf({ 'if-none-match': '"now"', 'cache-control': 'no-cache', pragma: 'no-cache' }),
    'not-modified'
  )
})

it('a date in any of the three formats counts (§5.6.7)', () => {
  for (const date of [
    'Thu, 29 Feb 2024 12:00:00 GMT',
    'Thursday, 29-Feb-24 12:00:00 GMT',
    'Thu Feb 29 12:00:00 2024'
  ]) {
    assert.equal(outcomeOf({ 'if-modified-since': date }), 'not-modified', date)
    assert.equal(ifRangeHolds(date, current), true, date)
  }
})

describe('If-Range (§13.1.5)', () => {
  for (const [title, field, holds] of [
    ['absent', undefined, true],
    ['the tag itself', '"now"', true],
    ['the tag itself, with blanks around', ' "now"\t', true],
    ['another tag', '"old"', false],
    ['a weak tag, which never matches', 'W/"now"', false],
    ['a tag that contains the current one', '"nownow"', false],
    ['a list that contains the current one', '"old", "now"', false],
    ['the current one first in a list', '"now", "old"', false],
    ['the current one after other text', 'x"now"', false],
    ['a tag without quotes', 'now', false],
    ['a tag that is not closed', '"now', false],
    ['anything', '*', false],
    ['nothing', '', false],
    ['the date itself', same, true],
    ['a later date, which is not the same', after, false],
    ['an earlier date', before, false],
    ['a date that cannot be read', 'yesterday', false],
    ['the date in another notation than HTTP', new Date(modifiedMs).toISOString(), false]
  ] as const) {
    it(`${title} ${holds ? 'holds' : 'does not hold'}: ${field}`, () => {
      assert.equal(ifRangeHolds(field, current), holds)
    })
  }
})

// The model: what is true of each field first, then §13.2.2 as it stands there, step by step.
type Tags = '*' | readonly { readonly name: string; readonly weak: boolean }[]
interface Facts {
  readonly match: Tags | undefined
  readonly noneMatch: Tags | undefined
  /** seconds from the modification */
  readonly unmodifiedSince: number | undefined
  readonly modifiedSince: number | undefined
}

function model(facts: Facts): PreconditionOutcome {
  const named = (tags: Tags, alsoWeak: boolean) =>
    tags === '*' || tags.filter(({ weak }) => alsoWeak || !weak).some(({ name }) => name === 'now')
  const absent = undefined
  // step 1, step 2
  const unchanged =
    facts.match !== absent
      ? named(facts.match, false)
      : facts.unmodifiedSince === absent || facts.unmodifiedSince >= 0
  if (!unchanged) return 'precondition-failed'
  // step 3, step 4
  const changed =
    facts.noneMatch !== absent
      ? !named(facts.noneMatch, true)
      : facts.modifiedSince === absent || facts.modifiedSince < 0
  return changed ? 'proceed' : 'not-modified'
}

function headersOf(facts: Facts): IncomingHttpHeaders {
  const write = (tags: Tags) =>
    tags === '*' ? '*' : tags.map(({ name, weak }) => `${weak ? 'W/' : ''}"${name}"`).join(', ')
  const date = (seconds: number) => new Date(modifiedMs + seconds * 1000).toUTCString()
  return {
    ...(facts.match !== undefined && { 'if-match': write(facts.match) }),
    ...(facts.noneMatch !== undefined && { 'if-none-match': write(facts.noneMatch) }),
    ...(facts.unmodifiedSince !== undefined && {
      'if-unmodified-since': date(facts.unmodifiedSince)
    }),
    ...(facts.modifiedSince !== undefined && { 'if-modified-since': date(facts.modifiedSince) })
  }
}

const tag = fc.record({ name: fc.constantFrom('now', 'old', 'no,w', ''), weak: fc.boolean() })
const tags: fc.Arbitrary<Tags> = fc.oneof(
  fc.constant('*' as const),
  fc.array(tag, { minLength: 1, maxLength: 3 })
)
const seconds = fc.integer({ min: -2, max: 2 })
const absentOr = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined })
const anyFacts: fc.Arbitrary<Facts> = fc.record({
  match: absentOr(tags),
  noneMatch: absentOr(tags),
  unmodifiedSince: absentOr(seconds),
  modifiedSince: absentOr(seconds)
})

describe('any preconditions', () => {
  it('come out as §13.2.2 says, step by step', () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        assert.equal(outcomeOf(headersOf(facts)), model(facts))
      }),
      { numRuns: 2000 }
    )
  })

  it('are evaluated without an exception, whatever text they are', () => {
    const text = absentOr(
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.string({ unit: fc.constantFrom(...'"W/,* nowGMT') })
      )
    )
    const fields = fc.record({ match: text, noneMatch: text, unmodified: text, modified: text })
    fc.assert(
      fc.property(fields, (field) => {
        const headers: IncomingHttpHeaders = {}
        if (field.match !== undefined) headers['if-match'] = field.match
        if (field.noneMatch !== undefined) headers['if-none-match'] = field.noneMatch
        if (field.unmodified !== undefined) headers['if-unmodified-since'] = field.unmodified
        if (field.modified !== undefined) headers['if-modified-since'] = field.modified
        assert.match(outcomeOf(headers), /^(proceed|not-modified|precondition-failed)$/)
      })
    )
  })

  it('let an If-Range hold for the current validators only', () => {
    const text = fc.oneof(
      fc.string({ unit: fc.constantFrom(...'"W/,* now') }),
      seconds.map((more) => new Date(modifiedMs + more * 1000).toUTCString())
    )
    fc.assert(
      fc.property(text, (field) => {
        const isCurrent = [current.etag, same].includes(field.trim())
        assert.equal(ifRangeHolds(field, current), isCurrent)
      }),
      { numRuns: 1000 }
    )
  })
})

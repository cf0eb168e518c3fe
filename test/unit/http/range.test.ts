/** Range and Content-Range against the examples of RFC 9110 and a model that marks single bytes. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  type ByteRange,
  formatContentRange,
  formatUnsatisfiedRange,
  type RangeOutcome,
  resolveRange
} from '#src/http/range.ts'

const maxRanges = 64

/** The outcome in short: ranges as `first-last`, as the protocol writes them. */
function resolve(field: string | undefined, length = 1000, most = maxRanges): string {
  const outcome = resolveRange(field, length, most)
  return typeof outcome === 'string'
    ? outcome
    : outcome.map(({ start, end }) => `${start}-${end - 1}`).join(',')
}

/** One test for each row: what the row is about, the field, the outcome on 1000 bytes. */
function rows(table: readonly (readonly [title: string, field: string, outcome: string])[]): void {
  for (const [title, field, outcome] of table) {
    it(`${title}: ${JSON.stringify(field)} gives ${outcome}`, () => {
      assert.equal(resolve(field), outcome)
    })
  }
}

describe('a range that other servers get wrong, of 1000 bytes', () => {
  rows([
    ['a suffix longer than the file is the whole file (§14.1.2)', 'bytes=-2000', '0-999'],
    ['a suffix is its length, not one byte more (§14.1.2)', 'bytes=-500', '500-999'],
    ['the first byte alone is one byte (§14.1.2)', 'bytes=0-0', '0-0'],
    ['every range of a set counts (§14.1.2)', 'bytes=0-9,20-29', '0-9,20-29'],
    ['a last-pos before the first-pos is invalid (§14.1.1)', 'bytes=5-2', 'whole'],
    ['letters after digits are invalid (§14.1.1)', 'bytes=0-5x', 'whole'],
    ['another range unit is ignored (§14.2)', 'items=0-5', 'whole']
  ])
})

describe('the examples of RFC 9110 §14.1.2, of 10000 bytes', () => {
  for (const [title, field, outcome] of [
    ['the first 500 bytes', 'bytes=0-499', '0-499'],
    ['the second 500 bytes', 'bytes=500-999', '500-999'],
    ['the final 500 bytes', 'bytes=-500', '9500-9999'],
    ['the final 500 bytes, open', 'bytes=9500-', '9500-9999'],
    [
      'the first, middle and last 1000 bytes',
      'bytes= 0-999, 4500-5499, -1000',
      '0-999,4500-5499,9000-9999'
    ],
    ['the first and last byte', 'bytes=0-0,-1', '0-0,9999-9999'],
    ['the second 500 bytes, in pieces that touch', 'bytes=500-600,601-999', '500-999'],
    ['the second 500 bytes, in pieces that overlap', 'bytes=500-700,601-999', '500-999']
  ] as const) {
    it(`${title}: ${field}`, () => {
      assert.equal(resolve(field, 10_000), outcome)
    })
  }
})

describe('one range', () => {
  it('is not asked for without a field', () => {
    assert.equal(resolve(undefined), 'whole')
  })
  rows([
    ['a last-pos past the end is cut (§14.1.2)', 'bytes=990-5000', '990-999'],
    ['the last byte', 'bytes=999-', '999-999'],
    ['the last byte by its suffix', 'bytes=-1', '999-999'],
    ['a first-pos at the end', 'bytes=1000-', 'unsatisfiable'],
    ['a first-pos past the end', 'bytes=1000-2000', 'unsatisfiable'],
    ['a suffix of no bytes (§14.1.2)', 'bytes=-0', 'unsatisfiable'],
    ['leading zeros', 'bytes=0000-0000000000000000000009', '0-9'],
    ['leading zeros of a greater first-pos', 'bytes=00000000000000000009-1', 'whole'],
    ['the unit in capitals (§14.1)', 'BYTES=0-9', '0-9'],
    ['a letter that only looks like one of the unit', 'byteſ=0-9', 'whole'],
    ['blanks around', 'bytes= \t0-9\t ', '0-9']
  ])
})

describe('digits that no number holds exactly', () => {
  rows([
    ['last-pos 2^53 + 1', 'bytes=0-9007199254740993', '0-999'],
    ['first-pos 2^53 + 1', 'bytes=9007199254740993-', 'unsatisfiable'],
    ['suffix-length 2^53 + 1', 'bytes=-9007199254740993', '0-999'],
    ['last-pos 2^64', 'bytes=990-18446744073709551616', '990-999'],
    ['first-pos 2^64 + 5, not 5', 'bytes=18446744073709551621-', 'unsatisfiable'],
    ['suffix-length 2^64', 'bytes=-18446744073709551616', '0-999'],
    ['a last-pos less by one', 'bytes=9007199254740993-9007199254740992', 'whole'],
    ['a last-pos greater by one', 'bytes=9007199254740992-9007199254740993', 'unsatisfiable'],
    ['in a set', 'bytes=18446744073709551616-,5-6', '5-6']
  ])
  it('last-pos of 4000 digits', () => {
    assert.equal(resolve(`bytes=0-${'9'.repeat(4000)}`), '0-999')
    assert.equal(resolve(`bytes=${'9'.repeat(4000)}-`), 'unsatisfiable')
    assert.equal(resolve(`bytes=${'9'.repeat(4000)}-${'9'.repeat(3999)}`), 'whole')
  })
})

describe('an invalid ranges-specifier is ignored (§14.2)', () => {
  for (const field of [
    '',
    'bytes',
    'bytes=',
    'bytes= ',
    'bytes=-',
    'bytes=--1',
    'bytes=-1-',
    'bytes=1',
    'bytes=1-2-3',
    'bytes=a-b',
    'bytes=0x1-0x9',
    'bytes=1e1-',
    'bytes=+1-2',
    'bytes=1.0-2',
    'bytes=0 - 9',
    'bytes=0-9;20-29',
    'bytes =0-9',
    'bytes:0-9',
    'xbytes=0-9',
    'bytesx=0-9',
    'bytes=٠-٩',
    'bytes=0-9\u00a0',
    'bytes=,',
    'bytes=, \t,',
    'bytes=0-9,x',
    'bytes=x,0-9',
    'bytes=0-9,5-2',
    'bytes=5000-,-'
  ]) {
    it(JSON.stringify(field), () => {
      assert.equal(resolve(field), 'whole')
    })
  }
})

describe('a range set', () => {
  rows([
    ['empty elements (§5.6.1.2)', 'bytes=,0-9, ,,20-29,', '0-9,20-29'],
    ['an empty element beside one range', 'bytes=0-9,', '0-9'],
    ['blanks around elements', 'bytes=0-9 \t,\t 20-29', '0-9,20-29'],
    ['the order of the request (§15.3.7.2)', 'bytes=500-509,0-9,-10', '500-509,0-9,990-999'],
    ['one range in two pieces', 'bytes=10-19,0-9', '0-19'],
    ['a gap of one byte', 'bytes=0-9,11-19', '0-9,11-19'],
    ['one range in another', 'bytes=0-99,10-19', '0-99'],
    ['a range twice', 'bytes=0-9,0-9', '0-9'],
    ['two joined by a third', 'bytes=20-29,500-509,0-9,10-19', '0-29,500-509'],
    ['some unsatisfiable', 'bytes=2000-,0-9,-0', '0-9'],
    ['none satisfiable', 'bytes=2000-,1000-1001,-0', 'unsatisfiable'],
    ['one satisfiable that is all of the file', 'bytes=0-,2000-', '0-999'],
    ['several that add up to the file', 'bytes=0-499,500-', 'whole'],
    ['several that overlap over the whole file', 'bytes=0-,0-,0-', 'whole'],
    ['several that leave out a byte', 'bytes=0-498,500-', '0-498,500-999']
  ])

  it('is ignored when it has more than the most ranges allowed, satisfiable or not (§14.2)', () => {
    assert.equal(resolve('bytes=0-0,2-2,4-4', 1000, 3), '0-0,2-2,4-4')
    assert.equal(resolve('bytes=0-0,2-2,4-4,6-6', 1000, 3), 'whole')
    assert.equal(resolve('bytes=0-0,0-0,0-0,0-0', 1000, 3), 'whole')
    assert.equal(resolve('bytes=0-0,5000-,5000-,5000-', 1000, 3), 'whole')
    assert.equal(resolve('bytes=5000-,5000-,5000-,5000-', 1000, 3), 'whole')
  })

  it('may have empty elements beyond the most ranges allowed', () => {
    assert.equal(resolve('bytes=,,,,0-0,,,2-2,,,4-4,,,', 1000, 3), '0-0,2-2,4-4')
  })
})

describe('an empty file', () => {
  for (const field of ['bytes=0-', 'bytes=0-0', 'bytes=-1', 'bytes=-0', 'bytes=0-0,-1']) {
    it(`has nothing that ${field} could name`, () => {
      assert.equal(resolve(field, 0), 'unsatisfiable')
    })
  }
  it('is whole where the field is invalid', () => {
    assert.equal(resolve('bytes=1-0', 0), 'whole')
  })
})

describe('Content-Range (§14.4)', () => {
  it('names the first and the last byte and the complete length', () => {
    assert.equal(formatContentRange({ start: 0, end: 500 }, 1234), 'bytes 0-499/1234')
    assert.equal(formatContentRange({ start: 1233, end: 1234 }, 1234), 'bytes 1233-1233/1234')
  })

  it('of a 416 names the complete length only', () => {
    assert.equal(formatUnsatisfiedRange(1234), 'bytes */1234')
    assert.equal(formatUnsatisfiedRange(0), 'bytes */0')
  })

  it('reads back as the range that it was made from, up to 2^53 - 1', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.maxSafeNat(), fc.maxSafeNat(), (a, b, c) => {
        const [start, last, length] = [a, b, c].sort((x, y) => x - y) as [number, number, number]
        fc.pre(last < length)
        const range = { start, end: last + 1 }
        const read = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(formatContentRange(range, length))
        assert.ok(read)
        assert.deepEqual(read.slice(1).map(BigInt), [start, last, length].map(BigInt))
        assert.equal(resolve(`bytes=${start}-${last}`, length), `${start}-${last}`)
      })
    )
  })
})

// The model: a range-spec as numbers, and the bytes that it selects, marked one by one.
type Spec = { first: number; last: number } | { first: number } | { suffix: number }

function write(spec: Spec): string {
  if ('suffix' in spec) return `-${spec.suffix}`
  return 'last' in spec ? `${spec.first}-${spec.last}` : `${spec.first}-`
}

function selects(spec: Spec, byte: number, length: number): boolean {
  if ('suffix' in spec) return length - byte <= spec.suffix
  return byte >= spec.first && ('last' in spec ? byte <= spec.last : true)
}

function bytesOf(specs: readonly Spec[], length: number): number[] {
  const bytes = Array.from({ length }, (_, byte) => byte)
  return bytes.filter((byte) => specs.some((spec) => selects(spec, byte, length)))
}

function bytesIn(ranges: readonly ByteRange[]): number[] {
  return ranges.flatMap(({ start, end }) =>
    Array.from({ length: end - start }, (_, offset) => start + offset)
  )
}

const position = fc.oneof(
  { weight: 8, arbitrary: fc.nat(90) },
  { weight: 1, arbitrary: fc.constantFrom(2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER) }
)
const validSpec: fc.Arbitrary<Spec> = fc.oneof(
  fc.tuple(position, fc.nat(25)).map(([first, more]) => ({ first, last: first + more })),
  position.map((first) => ({ first })),
  position.map((suffix) => ({ suffix }))
)
const completeLength = fc.nat(80)
const blanks = fc.stringMatching(/^[ \t]{0,2}$/)
const listed = fc.array(fc.tuple(validSpec, blanks, blanks, fc.nat(2)), {
  minLength: 1,
  maxLength: 10
})

/** The list as a field, with blanks and empty elements in it. */
function fieldOf(list: readonly (readonly [Spec, string, string, number])[]): string {
  return `bytes=${list.map(([spec, before, after, empty]) => `${','.repeat(empty)}${before}${write(spec)}${after}`).join(',')}`
}

function assertWellFormed(outcome: RangeOutcome, length: number, most: number): void {
  if (typeof outcome === 'string') return
  assert.ok(outcome.length > 0 && outcome.length <= most)
  for (const { start, end } of outcome) {
    assert.ok(Number.isSafeInteger(start) && Number.isSafeInteger(end))
    assert.ok(0 <= start && start < end && end <= length, `[${start}, ${end}) of ${length}`)
  }
  const inOrder = [...outcome].sort((a, b) => a.start - b.start)
  for (const [index, { start }] of inOrder.entries()) {
    const before = inOrder[index - 1]
    assert.ok(before === undefined || before.end < start, 'apart from each other')
  }
}

describe('any range set', () => {
  it('covers the bytes that its satisfiable ranges select, each once, or the whole file', () => {
    fc.assert(
      fc.property(listed, completeLength, (list, length) => {
        const specs = list.map(([spec]) => spec)
        const selected = bytesOf(specs, length)
        const satisfiable = specs.filter((spec) => bytesOf([spec], length).length > 0)
        const outcome = resolveRange(fieldOf(list), length, maxRanges)
        if (satisfiable.length === 0) {
          assert.equal(outcome, 'unsatisfiable')
        } else if (satisfiable.length > 1 && selected.length === length) {
          assert.equal(outcome, 'whole')
        } else {
          assert.ok(typeof outcome !== 'string', String(outcome))
          assert.deepEqual(
            bytesIn(outcome).sort((a, b) => a - b),
            selected
          )
        }
      }),
      { numRuns: 1000 }
    )
  })

  it('gives ranges that are not empty, inside the file, apart, and no more than allowed', () => {
    fc.assert(
      fc.property(listed, completeLength, fc.integer({ min: 1, max: 10 }), (list, length, most) => {
        const outcome = resolveRange(fieldOf(list), length, most)
        assertWellFormed(outcome, length, most)
        if (list.length > most) assert.equal(outcome, 'whole')
      }),
      { numRuns: 1000 }
    )
  })

  it('never asks for more bytes than the file has, nor for as many in several ranges', () => {
    fc.assert(
      fc.property(listed, completeLength, (list, length) => {
        const outcome = resolveRange(fieldOf(list), length, maxRanges)
        if (typeof outcome === 'string') return
        const sum = bytesIn(outcome).length
        assert.ok(outcome.length === 1 ? sum <= length : sum < length)
      }),
      { numRuns: 1000 }
    )
  })

  it('keeps the order in which the ranges were asked for first (§15.3.7.2)', () => {
    fc.assert(
      fc.property(listed, completeLength, (list, length) => {
        const outcome = resolveRange(fieldOf(list), length, maxRanges)
        if (typeof outcome === 'string') return
        const places = outcome.map(({ start, end }) =>
          list.findIndex(([spec]) => bytesOf([spec], length).some((at) => at >= start && at < end))
        )
        assert.deepEqual(
          places,
          [...places].sort((a, b) => a - b)
        )
      })
    )
  })

  it('is ignored as a whole when one element is invalid (§14.2)', () => {
    const invalid = fc.constantFrom('-', '5', '9-3', 'a-b', '1-2x', '--3', '1 2-3', '0x0-1')
    fc.assert(
      fc.property(listed, invalid, fc.nat(10), completeLength, (list, bad, place, length) => {
        const elements = list.map(([spec]) => write(spec))
        elements.splice(place, 0, bad)
        assert.equal(resolve(`bytes=${elements.join(',')}`, length), 'whole')
      })
    )
  })
})

describe('any text', () => {
  const nearly = fc.string({ unit: fc.constantFrom(...'0123456789-, \tx='), maxLength: 40 })
  const anyField = fc.oneof(
    fc.string({ unit: 'binary' }),
    nearly.map((set) => `bytes=${set}`)
  )

  it('is resolved without an exception, and within the bounds', () => {
    fc.assert(
      fc.property(anyField, completeLength, (field, length) => {
        assertWellFormed(resolveRange(field, length, maxRanges), length, maxRanges)
      }),
      { numRuns: 2000 }
    )
  })
})

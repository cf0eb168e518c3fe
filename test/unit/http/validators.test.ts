/** ETags and dates: made, read and compared. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  formatHttpDate,
  matchesStrongly,
  matchesWeakly,
  parseEntityTags,
  parseHttpDate,
  strongEtag
} from '#src/http/validators.ts'

/** The list in short, each tag as it would be written. */
function tags(field: string): string | undefined {
  const list = parseEntityTags(field)
  if (list === undefined || list === '*') return list
  return list.map(({ opaque, isWeak }) => (isWeak ? `W/${opaque}` : opaque)).join(' ')
}

describe('a strong ETag (§8.8.3)', () => {
  it('is quoted, and reads as one strong tag', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }), (size, mtimeNs) => {
        const etag = strongEtag(size, mtimeNs)
        assert.deepEqual(parseEntityTags(etag), [{ opaque: etag, isWeak: false }])
      })
    )
  })

  it('differs with the size and with each nanosecond', () => {
    const version = fc.tuple(fc.maxSafeNat(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }))
    fc.assert(
      fc.property(version, version, ([sizeA, timeA], [sizeB, timeB]) => {
        fc.pre(sizeA !== sizeB || timeA !== timeB)
        assert.notEqual(strongEtag(sizeA, timeA), strongEtag(sizeB, timeB))
      })
    )
    const time = 1_700_000_000_123_456_789n
    assert.notEqual(strongEtag(10, time), strongEtag(10, time + 1n))
    assert.notEqual(strongEtag(10, time), strongEtag(11, time))
  })

  it('is the same for the same size and time, so that replicas agree', () => {
    assert.equal(strongEtag(1000, 123_456_789n), strongEtag(1000, 123_456_789n))
  })
})

describe('a list of entity-tags (§8.8.3, §5.6.1.2)', () => {
  for (const [title, field, expected] of [
    ['one', '"a"', '"a"'],
    ['two', '"a","b"', '"a" "b"'],
    ['weak and strong', 'W/"a", "b", W/"c"', 'W/"a" "b" W/"c"'],
    ['commas inside quotes', '"a,b", ","', '"a,b" ","'],
    ['an empty tag', '""', '""'],
    ['a weak mark inside quotes', '"W/"', '"W/"'],
    ['blanks around', '\t "a" \t,\t "b" ', '"a" "b"'],
    ['empty elements', ',, "a" , ,"b",', '"a" "b"'],
    ['a backslash, which escapes nothing', '"a\\", "b"', '"a\\" "b"'],
    ['obs-text', '"\xe9"', '"\xe9"'],
    ['any', '*', '*'],
    ['any, with blanks around', ' *\t', '*'],
    ['a quoted star, which is a tag', '"*"', '"*"']
  ] as const) {
    it(`${title}: ${JSON.stringify(field)}`, () => {
      assert.equal(tags(field), expected)
    })
  }

  for (const [title, field] of [
    ['nothing', ''],
    ['blanks', ' \t'],
    ['commas', ' , ,'],
    ['no quotes', 'a'],
    ['no closing quote', '"a'],
    ['no opening quote', 'a"'],
    ['no comma between', '"a" "b"'],
    ['a blank inside', '"a b"'],
    ['a control character inside', '"a\x7f"'],
    ['a character beyond Latin-1', '"\u0101"'],
    ['a small w', 'w/"a"'],
    ['a blank after the weak mark', 'W/ "a"'],
    ['a weak mark alone', 'W/'],
    ['a star in a list', '*, "a"'],
    ['a star after a tag', '"a", *'],
    ['two stars', '**'],
    ['a semicolon', '"a"; "b"'],
    ['text after many blanks', `"a",${' '.repeat(12_000)}x`]
  ] as const) {
    it(`is not a list: ${title}`, () => {
      assert.equal(parseEntityTags(field), undefined)
    })
  }

  it('reads back what was written, however it is spaced', () => {
    const etagc = fc.constantFrom(...'!#,*/W\\azAZ09~\x80\xff')
    const tag = fc
      .tuple(fc.string({ unit: etagc, maxLength: 6 }), fc.boolean())
      .map(([text, isWeak]) => ({ opaque: `"${text}"`, isWeak }))
    const separator = fc.stringMatching(/^[ \t]{0,2},[ \t,]{0,3}$/)
    const element = fc.tuple(tag, separator)
    fc.assert(
      fc.property(fc.array(element, { minLength: 1, maxLength: 6 }), (list) => {
        const field = list.map(([{ opaque, isWeak }, by]) => `${isWeak ? 'W/' : ''}${opaque}${by}`)
        assert.deepEqual(
          parseEntityTags(field.join('')),
          list.map(([read]) => read)
        )
      })
    )
  })

  it('is read without an exception, whatever text it is', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom(...'"W/, *a\t') })
    )
    fc.assert(
      fc.property(text, (field) => {
        const list = parseEntityTags(field)
        assert.ok(list === undefined || list.length > 0)
      }),
      { numRuns: 1000 }
    )
  })
})

describe('the comparison of entity-tags, the table of §8.8.3.2', () => {
  for (const [opaque, isWeak, strongly, weakly] of [
    ['"1"', true, false, true],
    ['"2"', true, false, false],
    ['"1"', false, true, true],
    ['"2"', false, false, false]
  ] as const) {
    it(`${isWeak ? 'W/' : ''}${opaque} and "1": ${strongly} strongly, ${weakly} weakly`, () => {
      assert.equal(matchesStrongly({ opaque, isWeak }, '"1"'), strongly)
      assert.equal(matchesWeakly({ opaque, isWeak }, '"1"'), weakly)
    })
  }
})

describe('a date (§5.6.7)', () => {
  // the examples of the RFC: one moment in three formats
  const example = Date.UTC(1994, 10, 6, 8, 49, 37)
  for (const text of [
    'Sun, 06 Nov 1994 08:49:37 GMT',
    'Sunday, 06-Nov-94 08:49:37 GMT',
    'Sun Nov  6 08:49:37 1994'
  ]) {
    it(`is read from ${text}`, () => {
      assert.equal(parseHttpDate(text), example)
    })
  }

  it('is written as IMF-fixdate, without the part below a second', () => {
    assert.equal(formatHttpDate(example), 'Sun, 06 Nov 1994 08:49:37 GMT')
    assert.equal(formatHttpDate(example + 999), 'Sun, 06 Nov 1994 08:49:37 GMT')
  })

  it('of RFC 850 lies at most 50 years ahead', () => {
    const nowMs = Date.UTC(2026, 5, 1)
    const yearOf = (digits: string) => {
      const ms = parseHttpDate(`Sunday, 06-Nov-${digits} 08:49:37 GMT`, nowMs)
      return ms === undefined ? undefined : new Date(ms).getUTCFullYear()
    }
    assert.equal(yearOf('26'), 2026)
    assert.equal(yearOf('76'), 2076)
    assert.equal(yearOf('77'), 1977)
    assert.equal(yearOf('99'), 1999)
    assert.equal(yearOf('00'), 2000)
  })

  it('may be the 29th of February, in leap years', () => {
    assert.equal(parseHttpDate('Thu, 29 Feb 2024 00:00:00 GMT'), Date.UTC(2024, 1, 29))
    assert.equal(parseHttpDate('Tue, 29 Feb 2000 00:00:00 GMT'), Date.UTC(2000, 1, 29))
    assert.equal(parseHttpDate('Wed, 29 Feb 2023 00:00:00 GMT'), undefined)
    assert.equal(parseHttpDate('Mon, 29 Feb 1900 00:00:00 GMT'), undefined)
  })

  it('may be a leap second, which is taken as the second before it', () => {
    assert.equal(parseHttpDate('Sat, 31 Dec 2016 23:59:60 GMT'), Date.UTC(2016, 11, 31, 23, 59, 59))
  })

  for (const text of [
    '',
    '0',
    'now',
    '784111777',
    '1994-11-06T08:49:37Z',
    'Sun, 06 Nov 1994 08:49:37',
    'Sun, 06 Nov 1994 08:49:37 UTC',
    'Sun, 06 Nov 1994 08:49:37 +0000',
    'sun, 06 nov 1994 08:49:37 gmt',
    'Sun, 6 Nov 1994 08:49:37 GMT',
    'Sun, 06 Nov 94 08:49:37 GMT',
    'Sun, 06 November 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 8:49:37 GMT',
    'Sun, 06 Nov 1994 08:49 GMT',
    'Sun 06 Nov 1994 08:49:37 GMT',
    '06 Nov 1994 08:49:37 GMT',
    'Xyz, 06 Nov 1994 08:49:37 GMT',
    'Sun, 06 Foo 1994 08:49:37 GMT',
    'Sun, 00 Nov 1994 08:49:37 GMT',
    'Sun, 31 Nov 1994 08:49:37 GMT',
    'Sun, 32 Dec 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 24:00:00 GMT',
    'Sun, 06 Nov 1994 08:60:00 GMT',
    'Sun, 06 Nov 1994 08:49:61 GMT',
    'Sun, 06-Nov-94 08:49:37 GMT',
    'Sunday, 06-Nov-1994 08:49:37 GMT',
    'Sun Nov 6 08:49:37 1994',
    'Sun Nov  6 08:49:37 1994 GMT',
    'Sun, 06 Nov 1994 08:49:37 GMT\n',
    ' Sun, 06 Nov 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT'
  ]) {
    it(`is not ${JSON.stringify(text)}`, () => {
      assert.equal(parseHttpDate(text), undefined)
    })
  }

  const epochMs = fc.integer({ min: Date.UTC(1970, 0, 1), max: Date.UTC(9999, 11, 31, 23, 59, 59) })

  it('reads back as it was written, to the second', () => {
    fc.assert(
      fc.property(epochMs, (ms) => {
        assert.equal(parseHttpDate(formatHttpDate(ms)), ms - (ms % 1000))
      })
    )
  })

  it('reads the same from each of the three formats', () => {
    const nowMs = Date.UTC(2026, 5, 1)
    const near = fc.integer({ min: Date.UTC(1977, 0, 1), max: Date.UTC(2076, 11, 31) })
    fc.assert(
      fc.property(near, (ms) => {
        const [weekday, day, month, year, time] = new Date(ms).toUTCString().split(/,? /) as [
          string,
          string,
          string,
          string,
          string
        ]
        const longDay = new Date(ms).toLocaleDateString('en', { weekday: 'long', timeZone: 'UTC' })
        const rfc850 = `${longDay}, ${day}-${month}-${year.slice(2)} ${time} GMT`
        const asctime = `${weekday} ${month} ${day.replace(/^0/, ' ')} ${time} ${year}`
        assert.equal(parseHttpDate(rfc850, nowMs), ms - (ms % 1000), rfc850)
        assert.equal(parseHttpDate(asctime, nowMs), ms - (ms % 1000), asctime)
      })
    )
  })

  it('is read without an exception, whatever text it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        assert.equal(parseHttpDate(text), undefined)
      })
    )
  })
})

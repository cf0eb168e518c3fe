/** From request headers to status, headers and parts, on a file of 1000 bytes. */
import assert from 'node:assert/strict'
import type { IncomingHttpHeaders } from 'node:http'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { planResponse, type Representation, type ResponsePlan } from '#src/http/plan.ts'

const modifiedMs = Date.UTC(2024, 1, 29, 12, 0, 0)
const lastModified = new Date(modifiedMs).toUTCString()

function representation(completeLength: number): Representation {
  return {
    etag: '"now"',
    lastModifiedMs: modifiedMs,
    contentType: 'image/tiff',
    completeLength
  }
}

function plan(
  headers: IncomingHttpHeaders,
  { method = 'GET' as 'GET' | 'HEAD', length = 1000, maxRanges = 64 } = {}
): ResponsePlan {
  return planResponse(method, headers, representation(length), maxRanges)
}

/** Bytes that the parts of a plan put on the wire. */
function bodyBytes({ body }: ResponsePlan): number {
  return body.reduce(
    (sum, part) => sum + (typeof part === 'string' ? part.length : part.end - part.start),
    0
  )
}

const whole: ResponsePlan = {
  status: 200,
  contentType: 'image/tiff',
  contentLength: 1000,
  contentRange: undefined,
  body: [{ start: 0, end: 1000 }]
}

function single(start: number, end: number): ResponsePlan {
  return {
    status: 206,
    contentType: 'image/tiff',
    contentLength: end - start,
    contentRange: `bytes ${start}-${end - 1}/1000`,
    body: [{ start, end }]
  }
}

function withoutBody(status: 304 | 412 | 416, contentRange?: string): ResponsePlan {
  return { status, contentType: 'image/tiff', contentLength: 0, contentRange, body: [] }
}

describe('a plan without Range', () => {
  it('is the whole file', () => {
    assert.deepEqual(plan({}), whole)
  })

  it('has no body for an empty file', () => {
    assert.deepEqual(plan({}, { length: 0 }), { ...whole, contentLength: 0, body: [] })
  })

  it('for HEAD has the length of the file and no body (§9.3.2)', () => {
    assert.deepEqual(plan({}, { method: 'HEAD' }), { ...whole, body: [] })
  })
})

describe('a plan for one range', () => {
  for (const [field, expected] of [
    ['bytes=0-9', single(0, 10)],
    ['bytes=-2000', single(0, 1000)],
    ['bytes=990-5000', single(990, 1000)],
    // never a multipart of one part, where one was asked for, was satisfiable, or was left (§15.3.7.2)
    ['bytes=0-9,', single(0, 10)],
    ['bytes=0-9,5000-', single(0, 10)],
    ['bytes=10-19,0-9', single(0, 20)],
    ['bytes=5-2', whole],
    ['bytes=0-5x', whole],
    ['items=0-5', whole]
  ] as const) {
    it(`${field} is ${expected.status} ${expected.contentRange ?? 'whole'}`, () => {
      assert.deepEqual(plan({ range: field }), expected)
    })
  }

  it('HEAD ignores Range, satisfiable or not, and If-Range with it (§14.2)', () => {
    for (const range of ['bytes=0-9', 'bytes=0-9,20-29', 'bytes=5000-', 'bytes=5-2']) {
      assert.deepEqual(plan({ range }, { method: 'HEAD' }), { ...whole, body: [] }, range)
      const headers = { range, 'if-range': '"now"' }
      assert.deepEqual(plan(headers, { method: 'HEAD' }), { ...whole, body: [] }, range)
    }
  })
})

describe('a plan for several ranges', () => {
  it('is a multipart with its exact length', () => {
    const answer = plan({ range: 'bytes=0-9,20-29' })
    assert.equal(answer.status, 206)
    assert.match(answer.contentType, /^multipart\/byteranges; boundary=/)
    // of the whole answer there is none (§15.3.7.2)
    assert.equal(answer.contentRange, undefined)
    assert.equal(answer.contentLength, bodyBytes(answer))
    assert.deepEqual(
      answer.body.filter((part) => typeof part !== 'string'),
      [
        { start: 0, end: 10 },
        { start: 20, end: 30 }
      ]
    )
    const text = answer.body.map((part) => (typeof part === 'string' ? part : ''))
    assert.match(text.join(''), /Content-Type: image\/tiff\r\nContent-Range: bytes 20-29\/1000/)
  })

  it('has a boundary of at most 70 characters that need no quotes, another each time', () => {
    const boundaries = Array.from({ length: 50 }, () => {
      const { contentType } = plan({ range: 'bytes=0-9,20-29' })
      const boundary = contentType.replace(/^multipart\/byteranges; boundary=/, '')
      // token characters (§5.6.2) that RFC 2046 §5.1.1 allows too; long enough not to occur by chance
      assert.match(boundary, /^[A-Za-z0-9'+_.-]{20,70}$/)
      return boundary
    })
    assert.equal(new Set(boundaries).size, boundaries.length)
  })

  it('is the whole file where the framing would make the answer larger', () => {
    const field = `bytes=${[0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22].map((at) => `${at}-${at}`).join(',')}`
    assert.deepEqual(plan({ range: field }), whole)
    assert.equal(plan({ range: field }, { length: 10_000 }).status, 206)
  })

  it('is the whole file where the ranges add up to it', () => {
    assert.deepEqual(plan({ range: 'bytes=0-499,500-999' }), whole)
    assert.deepEqual(plan({ range: 'bytes=0-,0-,0-' }), whole)
  })

  it('is the whole file where there are more than the most ranges allowed', () => {
    assert.equal(plan({ range: 'bytes=0-0,2-2' }, { maxRanges: 2 }).status, 206)
    assert.deepEqual(plan({ range: 'bytes=0-0,2-2,4-4' }, { maxRanges: 2 }), whole)
  })
})

describe('a plan without a body', () => {
  for (const field of ['bytes=1000-', 'bytes=5000-6000', 'bytes=-0', 'bytes=5000-,6000-']) {
    it(`is 416 with the complete length for ${field} (§15.5.17)`, () => {
      assert.deepEqual(plan({ range: field }), withoutBody(416, 'bytes */1000'))
    })
  }

  it('is 416 for any range of an empty file', () => {
    assert.deepEqual(plan({ range: 'bytes=0-' }, { length: 0 }), withoutBody(416, 'bytes */0'))
  })

  for (const method of ['GET', 'HEAD'] as const) {
    it(`is 304 for ${method} (§15.4.5), Range or not`, () => {
      for (const range of [{}, { range: 'bytes=0-9' }, { range: 'bytes=5000-' }]) {
        const byTag = plan({ ...range, 'if-none-match': '"now"' }, { method })
        assert.deepEqual(byTag, withoutBody(304))
        const byDate = plan({ ...range, 'if-modified-since': lastModified }, { method })
        assert.deepEqual(byDate, withoutBody(304))
      }
    })

    it(`is 412 for ${method} (§15.5.13), Range or not`, () => {
      for (const range of [{}, { range: 'bytes=0-9' }, { range: 'bytes=5000-' }]) {
        // the row of a weak tag that others answer with 200 (§13.1.1)
        for (const tag of ['"old"', 'W/"now"']) {
          assert.deepEqual(plan({ ...range, 'if-match': tag }, { method }), withoutBody(412), tag)
        }
      }
    })
  }
})

describe('If-Range beside Range (§13.1.5)', () => {
  for (const [title, field, holds] of [
    ['the current tag', '"now"', true],
    ['the current date', lastModified, true],
    ['another tag', '"old"', false],
    ['a weak tag', 'W/"now"', false],
    ['a tag that contains the current one', '"it is now"', false],
    ['a list with the current tag', '"now", "old"', false],
    ['a later date', new Date(modifiedMs + 1000).toUTCString(), false],
    ['rubbish', 'now', false]
  ] as const) {
    it(`with ${title} gives ${holds ? 'the range' : 'the whole file'}`, () => {
      const headers = { 'if-range': field, range: 'bytes=0-9' }
      assert.deepEqual(plan(headers), holds ? single(0, 10) : whole)
    })
  }

  it('that does not hold leaves no 416 either', () => {
    assert.deepEqual(plan({ 'if-range': '"old"', range: 'bytes=5000-' }), whole)
    assert.equal(plan({ 'if-range': '"now"', range: 'bytes=5000-' }).status, 416)
  })

  it('has no part in a request without Range', () => {
    assert.deepEqual(plan({ 'if-range': '"old"' }), whole)
  })

  it('is asked after the preconditions (§13.2.2)', () => {
    const headers = { 'if-range': '"now"', range: 'bytes=0-9' }
    assert.equal(plan({ ...headers, 'if-match': '"old"' }).status, 412)
    assert.equal(plan({ ...headers, 'if-none-match': '"now"' }).status, 304)
    assert.deepEqual(plan({ ...headers, 'if-match': '"now"' }), single(0, 10))
  })
})

describe('any plan', () => {
  const text = fc.string({ unit: fc.constantFrom(...'0123456789-,'), maxLength: 60 })
  const specs = fc.array(
    fc.tuple(fc.nat(4000), fc.nat(300)).map(([first, more]) => `${first}-${first + more}`),
    { minLength: 1, maxLength: 12 }
  )
  const anyRange = fc.oneof(
    text,
    specs.map((list) => list.join(','))
  )
  const anyLength = fc.nat(4000)

  it('sends as many bytes as it announces, and never more than the file has', () => {
    fc.assert(
      fc.property(anyRange, anyLength, (set, length) => {
        const answer = plan({ range: `bytes=${set}` }, { length })
        assert.equal(bodyBytes(answer), answer.contentLength)
        assert.ok(answer.contentLength <= length)
      }),
      { numRuns: 500 }
    )
  })

  it('has a Content-Range where it is 416, or 206 of one range, and only there (§14.4)', () => {
    fc.assert(
      fc.property(anyRange, anyLength, (set, length) => {
        const { status, contentType, contentRange } = plan({ range: `bytes=${set}` }, { length })
        const isSingle = status === 206 && !contentType.startsWith('multipart/')
        assert.equal(contentRange !== undefined, status === 416 || isSingle)
      }),
      { numRuns: 500 }
    )
  })
})

/** The framing of multipart/byteranges, read back by a reader that knows RFC 2046 and not the writer. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { layoutMultipart, type Multipart } from '#src/http/multipart.ts'
import type { ByteRange } from '#src/http/range.ts'

/** The bytes that go over the wire: each range replaced by its bytes of the representation. */
function send({ body }: Multipart, representation: Buffer): Buffer {
  return Buffer.concat(
    body.map((part) =>
      typeof part === 'string'
        ? Buffer.from(part, 'latin1')
        : representation.subarray(part.start, part.end)
    )
  )
}

interface ReadPart {
  readonly contentType: string
  readonly first: number
  readonly last: number
  readonly completeLength: number
  readonly bytes: Buffer
}

/**
 * Read a body as RFC 2046 §5.1.1 describes it: delimiters, each with the line break before it; header fields; an
 * empty line; bytes up to the next delimiter.
 */
function readMultipart(contentType: string, message: Buffer): ReadPart[] {
  const boundary = /^multipart\/byteranges; *boundary=([^ ";,]+)$/.exec(contentType)?.[1]
  assert.ok(boundary !== undefined, contentType)
  // Latin-1 keeps every byte
  const pieces = message.toString('latin1').split(`\r\n--${boundary}`)
  assert.equal(pieces.shift(), '', 'no preamble')
  assert.equal(pieces.pop(), '--\r\n', 'closed, without an epilogue')
  return pieces.map((piece) => {
    assert.ok(piece.startsWith('\r\n'), 'the delimiter is a line of its own')
    const headersEnd = piece.indexOf('\r\n\r\n')
    assert.ok(headersEnd > 0)
    const headers = new Map(
      piece
        .slice(2, headersEnd)
        .split('\r\n')
        .map((line) => {
          const colon = line.indexOf(':')
          return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const
        })
    )
    assert.deepEqual([...headers.keys()].sort(), ['content-range', 'content-type'])
    const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers.get('content-range') ?? '')
    assert.ok(range)
    return {
      contentType: headers.get('content-type') ?? '',
      first: Number(range[1]),
      last: Number(range[2]),
      completeLength: Number(range[3]),
      bytes: Buffer.from(piece.slice(headersEnd + 4), 'latin1')
    }
  })
}

const boundaryCharacters = [...'ABCXYZabcxyz0189-_']
const anyBoundary = fc.string({
  unit: fc.constantFrom(...boundaryCharacters),
  minLength: 16,
  maxLength: 70
})
const anyContentType = fc.constantFrom(
  'application/octet-stream',
  'image/tiff',
  'text/plain; charset=utf-8'
)
/** Bytes, and ranges of them in any order. */
const anyFile = fc.uint8Array({ minLength: 1, maxLength: 200 }).chain((bytes) => {
  const range: fc.Arbitrary<ByteRange> = fc
    .tuple(fc.nat(bytes.length - 1), fc.nat(bytes.length - 1))
    .map(([a, b]) => ({ start: Math.min(a, b), end: Math.max(a, b) + 1 }))
  return fc.record({
    representation: fc.constant(Buffer.from(bytes)),
    ranges: fc.array(range, { minLength: 1, maxLength: 8 })
  })
})

describe('multipart/byteranges (§14.6)', () => {
  it('is, to the byte, what the RFC shows, behind the line break that zsync needs', () => {
    const ranges = [
      { start: 0, end: 4 },
      { start: 6, end: 9 }
    ]
    const layout = layoutMultipart(ranges, 'text/plain', 10, 'THIS_STRING_SEPARATES')
    assert.equal(layout.contentType, 'multipart/byteranges; boundary=THIS_STRING_SEPARATES')
    assert.equal(
      send(layout, Buffer.from('0123456789')).toString(),
      [
        '',
        '--THIS_STRING_SEPARATES',
        'Content-Type: text/plain',
        'Content-Range: bytes 0-3/10',
        '',
        '0123',
        '--THIS_STRING_SEPARATES',
        'Content-Type: text/plain',
        'Content-Range: bytes 6-8/10',
        '',
        '678',
        '--THIS_STRING_SEPARATES--',
        ''
      ].join('\r\n')
    )
  })

  it('gives a reader the same ranges, in the same order, with their bytes', () => {
    fc.assert(
      fc.property(anyFile, anyContentType, anyBoundary, (file, contentType, boundary) => {
        const { representation, ranges } = file
        const completeLength = representation.length
        const layout = layoutMultipart(ranges, contentType, completeLength, boundary)
        assert.deepEqual(
          readMultipart(layout.contentType, send(layout, representation)),
          ranges.map(({ start, end }) => ({
            contentType,
            first: start,
            last: end - 1,
            completeLength,
            bytes: representation.subarray(start, end)
          }))
        )
      }),
      { numRuns: 500 }
    )
  })

  it('has exactly the length that it announces', () => {
    fc.assert(
      fc.property(anyFile, anyContentType, anyBoundary, (file, contentType, boundary) => {
        const { representation, ranges } = file
        const layout = layoutMultipart(ranges, contentType, representation.length, boundary)
        assert.equal(layout.contentLength, send(layout, representation).length)
      }),
      { numRuns: 500 }
    )
  })

  it('announces exact lengths beyond 2^32 as well', () => {
    const length = 2 ** 43
    const ranges = [
      { start: 0, end: 2 ** 33 + 1 },
      { start: 2 ** 42, end: length }
    ]
    const { contentLength, body } = layoutMultipart(ranges, 'image/tiff', length, 'b')
    const literal = body.reduce(
      (sum, part) => sum + (typeof part === 'string' ? part.length : 0),
      0
    )
    assert.equal(contentLength - literal, 2 ** 33 + 1 + 2 ** 42)
  })
})

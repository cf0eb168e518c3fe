/** What the access log makes of what clients send. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { type AccessFields, accessMembers, asciiOnly } from '#src/metrics/access-line.ts'

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: 'binary' }),
  fc.constant('"\\\u0085\u2028\u009b\u007f\r\n')
)
const optional = fc.option(text, { nil: undefined })

describe('a line of the access log', () => {
  it('is ASCII on one line, and means what JSON.stringify would write', () => {
    const fields: fc.Arbitrary<AccessFields> = fc.record({
      reqId: text,
      remoteAddress: optional,
      method: text,
      path: text,
      status: fc.constantFrom(200, 206, 404),
      range: optional,
      bytes: fc.maxSafeNat(),
      source: fc.constantFrom('mapped', 'read', 'mixed', 'none'),
      ms: fc.nat(10 ** 9).map((us) => us / 1000),
      userAgent: optional,
      referer: optional,
      outcome: text
    })
    fc.assert(
      fc.property(fields, (each) => {
        const members = accessMembers(each)
        assert.match(members, /^[ -~]*$/)
        assert.equal(JSON.stringify(JSON.parse(`{${members}}`)), JSON.stringify(each))
      })
    )
  })

  it('has no character beyond ASCII, and means the same', () => {
    assert.equal(
      asciiOnly('{"a":"\u0085\u2028\u009b\u007f"}\n'),
      '{"a":"\\u0085\\u2028\\u009b\\u007f"}\n'
    )
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (given) => {
        const line = asciiOnly(`${JSON.stringify({ given })}\n`)
        assert.match(line, /^[ -~]*\n$/)
        assert.deepEqual(JSON.parse(line), { given })
      })
    )
  })
})

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { readHead } from '#src/fast-path/request-head.ts'
import { isHost } from '#src/http/host.ts'

describe('a Host field (RFC 9110 §7.2, RFC 3986 §3.2.2)', () => {
  const valid = [
    ...['x', 'localhost', 'maps.example.org:8080', '127.0.0.1', '127.0.0.1:0', 'x:', 'x:65535'],
    ...['', 'a_b-c.d~e', '%20', 'xn--bcher-kva.example', "a!$&'()*+,;=b", 'x.'],
    ...['[::1]', '[2001:db8::1]:443', '[::ffff:127.0.0.1]', '[v1.fe80:x]']
  ]
  for (const text of valid) {
    it(`may be ${JSON.stringify(text)}`, () => assert.ok(isHost(text)))
  }

  const invalid = [
    ...['a b', ' x', 'x y:80', 'x:65536', 'x:99999', 'x:-1', 'x:8o', 'x:80:80', '::1', 'u@x'],
    ...[
      'x/y',
      'x?y',
      'x#y',
      'x\\y',
      '\u00e9',
      'x\u0000',
      'x\u007f',
      '%',
      '%2',
      '%zz',
      'x"y',
      '<x>'
    ],
    ...['[::1', '::1]', '[]', '[x]', '[::1]x', 'x[::1]', '[fe80::1%eth0]', '[fe80::1%25eth0]'],
    ...['http://x', 'x, y', '[v.x]', 'x\r\ny']
  ]
  for (const text of invalid) {
    it(`may not be ${JSON.stringify(text)}`, () => assert.ok(!isHost(text)))
  }

  it('is valid wherever the fast path takes it', () => {
    const character = fc.constantFrom(..."ab.:[]%0189@/_-~!,=' \t\u00e9\u0000")
    fc.assert(
      fc.property(fc.array(character, { maxLength: 12 }), (characters) => {
        const text = characters.join('')
        const head = readHead(Buffer.from(`GET / HTTP/1.1\r\nHost: ${text}\r\n\r\n`, 'latin1'), 0)
        assert.ok(typeof head === 'string' || isHost(text.replace(/^[ \t]+|[ \t]+$/g, '')))
      }),
      { numRuns: 2000 }
    )
  })
})

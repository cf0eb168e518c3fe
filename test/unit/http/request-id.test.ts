import assert from 'node:assert/strict'
import { it } from 'node:test'
import { requestIdOf } from '#src/http/request-id.ts'

it('a request id is a token of bounded length, and everything else is none', () => {
  for (const id of [
    'a',
    '5f0e8a1c-1d2b-4a7f',
    'Root=1-67891233-abcdef',
    'a+/b==',
    'x'.repeat(100)
  ]) {
    assert.equal(requestIdOf(id), id)
  }
  const none = [undefined, '', 'a b', 'a, b', 'a\r\nX: y', 'a"b', '<a>', '\u00e9', 'x'.repeat(101)]
  for (const id of none) assert.equal(requestIdOf(id), undefined, id)
  assert.equal(requestIdOf(['a', 'b']), undefined)
})

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { describe, it } from 'node:test'
import { pageBytes, pageBytesIn } from '#src/config/page-size.ts'

const AT_NULL = 0
const AT_PAGESZ = 6
const AT_CLKTCK = 17

describe('the page size', () => {
  it('is that of this machine', () => {
    assert.equal(pageBytes, Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' })))
  })

  it('is found in vectors of both widths and byte orders', () => {
    const pairs = [AT_CLKTCK, 100, AT_PAGESZ, 16_384, AT_NULL, 0]
    for (const wordBytes of [4, 8] as const) {
      for (const isLittleEndian of [true, false]) {
        const bytes = vector(pairs, wordBytes, isLittleEndian)
        assert.equal(pageBytesIn(bytes, wordBytes, isLittleEndian), 16_384)
      }
    }
  })

  it('is not told by a vector that ends before it', () => {
    const find = (pairs: readonly number[], lengthBytes?: number) =>
      pageBytesIn(vector(pairs, 8, true).subarray(0, lengthBytes), 8, true)
    assert.equal(find([]), undefined)
    assert.equal(find([AT_CLKTCK, 100, AT_NULL, 0]), undefined)
    assert.equal(find([AT_NULL, 0, AT_PAGESZ, 4096]), undefined)
    assert.equal(find([AT_PAGESZ, 4096], 15), undefined)
  })
})

function vector(words: readonly number[], wordBytes: 4 | 8, isLittleEndian: boolean): Uint8Array {
  const view = new DataView(new ArrayBuffer(words.length * wordBytes))
  for (const [i, word] of words.entries()) {
    if (wordBytes === 8) view.setBigUint64(8 * i, BigInt(word), isLittleEndian)
    else view.setUint32(4 * i, word, isLittleEndian)
  }
  return new Uint8Array(view.buffer)
}

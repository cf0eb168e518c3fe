import assert from 'node:assert/strict'
import fs from 'node:fs'
import { describe, it } from 'node:test'
import { readCached } from '#src/storage/native/cached-read.ts'
import { addressOf } from '#src/storage/native/libc.ts'
import { pageBytes } from '#src/storage/native/page-size.ts'
import { dropPages, warm } from '../../support/kernel-view.ts'
import { patternBytes } from '../../support/serve.ts'
import { patternFile, sparseFile, writeAt } from './native-files.ts'

const GiB = 2 ** 30

describe('reading what is cached', () => {
  it('copies resident bytes, and nothing of what would have to be waited for', (t) => {
    const length = 32 * pageBytes
    const { fd, path } = patternFile(t, length)
    warm(path)
    const into = Buffer.alloc(length)
    const count = readCached(fd, addressOf(into), 5000, 100)
    if (count === 'unsupported') return t.skip('this file system has no RWF_NOWAIT')
    assert.equal(count, 5000)
    assert.deepEqual(into.subarray(0, 5000), patternBytes(100, 5100))
    assert.ok(into.subarray(5000).every((byte) => byte === 0))
    assert.equal(readCached(fd, addressOf(into), length, length), 0)
    dropPages(path)
    assert.equal(readCached(fd, addressOf(into), length, 0), 0)
    return
  })

  it('reads at 64-bit offsets', (t) => {
    const { fd, path } = sparseFile(t, 5 * GiB)
    const mark = Buffer.from('beyond 32 bits')
    writeAt(path, mark, 2 ** 32 + 5)
    const into = Buffer.alloc(mark.length)
    if (readCached(fd, addressOf(into), mark.length, 2 ** 32 + 5) === 'unsupported') {
      return t.skip('this file system has no RWF_NOWAIT')
    }
    assert.deepEqual(into, mark)
    return
  })

  it('says so where the file system has no such read', (t) => {
    const path = `/dev/shm/range-server-test-${process.pid}`
    try {
      fs.writeFileSync(path, 'in memory only')
    } catch {
      return t.skip('no /dev/shm')
    }
    t.after(() => fs.rmSync(path))
    const fd = fs.openSync(path, 'r')
    t.after(() => fs.closeSync(fd))
    const isTmpfs = fs.statfsSync(path).type === 0x01021994
    if (!isTmpfs) return t.skip('/dev/shm is not a tmpfs')
    assert.equal(readCached(fd, addressOf(Buffer.alloc(10)), 10, 0), 'unsupported')
    return
  })
})

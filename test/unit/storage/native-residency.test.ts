import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { pageBytes } from '#src/storage/native/page-size.ts'
import { isResident } from '#src/storage/native/residency.ts'
import { dropPages, warm } from '../../support/kernel-view.ts'
import { mapped, patternFile, readPage, sparseFile } from './native-files.ts'

const MiB = 2 ** 20

describe('residency', () => {
  it('is told page by page: resident after reading, cold after its pages were dropped', (t) => {
    const { fd, path } = patternFile(t, 64 * pageBytes)
    const mapping = mapped(t, fd, 64 * pageBytes)
    warm(path)
    assert.equal(isResident(mapping, 0, 64 * pageBytes), true)
    dropPages(path)
    if (isResident(mapping, 0, pageBytes)) return t.skip('this file system keeps its pages')
    assert.equal(isResident(mapping, 0, 64 * pageBytes), false)
    assert.equal(isResident(mapping, 17, 18), false)
    readPage(fd, 0)
    assert.equal(isResident(mapping, 0, pageBytes), true)
    assert.equal(isResident(mapping, 1, 2), true)
    return
  })

  it('is told of more pages than one question holds', (t) => {
    const length = 64 * MiB
    const { fd, path } = sparseFile(t, length)
    const mapping = mapped(t, fd, length)
    warm(path)
    assert.equal(isResident(mapping, 0, length), true)
    assert.equal(isResident(mapping, 123, length - 45), true)
    dropPages(path)
    if (isResident(mapping, 0, pageBytes)) return t.skip('this file system keeps its pages')
    warm(path, 0, 17 * MiB)
    assert.equal(isResident(mapping, 0, 16 * MiB), true)
    assert.equal(isResident(mapping, 0, length), false)
    return
  })
})

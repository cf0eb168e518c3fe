// first, so that mapping.ts gets it in the place of mmap-io
import './mmap-io-calls.ts'

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { describe, it } from 'node:test'
import { createCounters } from '#src/storage/counters.ts'
import { MappingError, map, mmapIoReach, revoke } from '#src/storage/native/mapping.ts'
import { pageBytes } from '#src/storage/native/page-size.ts'
import { FileRegions, RegionTable } from '#src/storage/regions.ts'
import { tempFolder } from '../../support/serve.ts'
import { mappedEnds } from './mmap-io-calls.ts'
import { sparseFile, writeAt } from './native-files.ts'

const MiB = 2 ** 20
const GiB = 2 ** 30

describe('mapping', () => {
  for (const regionBytes of [256 * MiB, 192 * MiB, GiB]) {
    it(`hands mmap-io nothing that ends at 2^31 or later, with regions of ${regionBytes / MiB} MiB`, (t) => {
      const { fd } = sparseFile(t, 5 * GiB + 12_345)
      const size = fs.fstatSync(fd).size
      mappedEnds.length = 0
      const table = new RegionTable({ regionBytes, maxMappedBytes: 8 * GiB }, createCounters())
      const owner = new FileRegions(fd, size)
      for (let at = 0; at < size; at += regionBytes) {
        assert.equal(table.at(owner, at)?.offset, at)
      }
      assert.equal(table.mappedBytes, Math.ceil(size / pageBytes) * pageBytes)
      // it maps whatever it can reach, and nothing beyond
      const reachable = Math.ceil(mmapIoReach / regionBytes) - 1
      assert.deepEqual(
        mappedEnds,
        Array.from({ length: reachable }, (_, index) => (index + 1) * regionBytes)
      )
      for (const end of mappedEnds) assert.ok(end < 2 ** 31, `${end} reached mmap-io`)
      table.retireAll(owner)
    })
  }

  it('hands mmap-io no single extent around 2^31 either', (t) => {
    const { fd } = sparseFile(t, 5 * GiB)
    for (const [offset, length, isForMmapIo] of [
      [0, pageBytes, true],
      [2 ** 31 - 2 * pageBytes, pageBytes, true],
      [2 ** 31 - 2 * pageBytes, 2 * pageBytes - 1, true],
      [2 ** 31 - pageBytes, pageBytes, false],
      [2 ** 31 - pageBytes, 2 * pageBytes, false],
      [2 ** 31, pageBytes, false],
      [2 ** 32 - pageBytes, pageBytes, false],
      [2 ** 32, pageBytes, false],
      [5 * GiB - pageBytes, pageBytes, false]
    ] as const) {
      mappedEnds.length = 0
      revoke(map(fd, offset, length))
      assert.deepEqual(mappedEnds, isForMmapIo ? [offset + length] : [])
    }
  })

  it('gives the bytes at 64-bit offsets', (t) => {
    const { fd, path } = sparseFile(t, 5 * GiB + 3 * pageBytes)
    for (const offset of [0, 2 ** 31 - pageBytes, 2 ** 31, 2 ** 32, 5 * GiB]) {
      const mark = Buffer.from(`here is ${offset}`)
      writeAt(path, mark, offset + pageBytes + 7)
      const mapping = map(fd, offset, 2 * pageBytes)
      assert.equal(mapping.bytes.length, 2 * pageBytes)
      const found = mapping.bytes.subarray(pageBytes + 7, pageBytes + 7 + mark.length)
      assert.deepEqual(Buffer.from(found), mark)
      revoke(mapping)
    }
  })

  it('names what the kernel refuses', (t) => {
    const folder = fs.openSync(tempFolder(t), 'r')
    t.after(() => fs.closeSync(folder))
    for (const [fd, offset, reason] of [
      [folder, 0, 'ENODEV'],
      [folder, 2 ** 32, 'ENODEV'],
      [folder, 2 ** 32 + 1, 'EINVAL'],
      [1_000_000, 0, 'EBADF'],
      [1_000_000, 2 ** 32, 'EBADF']
    ] as const) {
      assert.throws(
        () => map(fd, offset, pageBytes),
        (error) => error instanceof MappingError && error.reason === reason
      )
    }
  })
})

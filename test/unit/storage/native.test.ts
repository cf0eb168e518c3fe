// first, so that mapping.ts gets it in the place of mmap-io
import './mmap-io-calls.ts'

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { createCounters } from '#src/storage/counters.ts'
import { readCached } from '#src/storage/native/cached-read.ts'
import {
  type Mapping,
  MappingError,
  map,
  mmapIoReach,
  revoke
} from '#src/storage/native/mapping.ts'
import { pageBytes } from '#src/storage/native/page-size.ts'
import { isResident } from '#src/storage/native/residency.ts'
import { threadFaults } from '#src/storage/native/rusage.ts'
import {
  fdStillHas,
  type Generation,
  generationKey,
  pathStillNames,
  sameGeneration,
  statPath
} from '#src/storage/native/stat.ts'
import { type RegionOwner, RegionTable } from '#src/storage/regions.ts'
import { dropPages, warm } from '../../support/kernel-view.ts'
import { patternBytes, tempFolder } from '../../support/serve.ts'
import { mappedEnds } from './mmap-io-calls.ts'

const MiB = 2 ** 20
const GiB = 2 ** 30

describe('mapping', () => {
  for (const regionBytes of [256 * MiB, 192 * MiB, GiB]) {
    it(`hands mmap-io nothing that ends at 2^31 or later, with regions of ${regionBytes / MiB} MiB`, (t) => {
      const { fd } = sparseFile(t, 5 * GiB + 12_345)
      const size = fs.fstatSync(fd).size
      mappedEnds.length = 0
      const table = new RegionTable({ regionBytes, maxMappedBytes: 8 * GiB }, createCounters())
      const owner: RegionOwner = { fd, size, regions: [], unmappable: undefined }
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

describe('reading what is cached', () => {
  it('copies resident bytes, and nothing of what would have to be waited for', (t) => {
    const length = 32 * pageBytes
    const { fd, path } = patternFile(t, length)
    warm(path)
    const into = Buffer.alloc(length)
    const count = readCached(fd, into, 5000, 100)
    if (count === 'unsupported') return t.skip('this file system has no RWF_NOWAIT')
    assert.equal(count, 5000)
    assert.deepEqual(into.subarray(0, 5000), patternBytes(100, 5100))
    assert.ok(into.subarray(5000).every((byte) => byte === 0))
    assert.equal(readCached(fd, into, length, length), 0)
    dropPages(path)
    assert.equal(readCached(fd, into, length, 0), 0)
    return
  })

  it('reads at 64-bit offsets', (t) => {
    const { fd, path } = sparseFile(t, 5 * GiB)
    const mark = Buffer.from('beyond 32 bits')
    writeAt(path, mark, 2 ** 32 + 5)
    const into = Buffer.alloc(mark.length)
    if (readCached(fd, into, mark.length, 2 ** 32 + 5) === 'unsupported') {
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
    assert.equal(readCached(fd, Buffer.alloc(10), 10, 0), 'unsupported')
    return
  })
})

describe('generation', () => {
  const dates = {
    'of now': 1_700_000_000.123_456_7,
    'in whole seconds': 1_700_000_000,
    'before 1970': -86_400,
    'a fraction of a second before 1970': -0.25,
    'a fraction of a second before a whole one before 1970': -86_399.75,
    'beyond 2038': 2 ** 31 + 0.5,
    'beyond 2106': 2 ** 32 + 0.5
  }
  for (const [name, mtime] of Object.entries(dates)) {
    it(`is what stat(2) says, for a date ${name}`, (t) => {
      const { fd, path } = patternFile(t, 1234)
      // as a Date: Node takes a negative number for the current time
      fs.utimesSync(path, new Date(mtime * 1000), new Date(mtime * 1000))
      const { dev, ino, size, mtimeNs } = fs.statSync(path, { bigint: true })
      assert.ok(Math.abs(Number(mtimeNs) / 1e9 - mtime) < 1e-3, 'the file system keeps the date')
      const expected = { dev, ino, size, mtimeNs }
      assert.deepEqual(statPath(cString(path)), expected)
      assert.ok(pathStillNames(cString(path), generationKey(expected)))
      assert.ok(fdStillHas(fd, generationKey(expected)))
    })
  }

  it('is another one for every change of size, date, inode or device', (t) => {
    const { fd, path } = patternFile(t, 1234)
    const known = statPath(cString(path)) as Generation
    for (const change of [
      { size: known.size + 1n },
      { size: known.size + (1n << 32n) },
      { mtimeNs: known.mtimeNs + 1n },
      { mtimeNs: known.mtimeNs - 1_000_000_000n },
      { mtimeNs: known.mtimeNs + (1n << 32n) * 1_000_000_000n },
      { ino: known.ino + 1n },
      { ino: known.ino + (1n << 32n) },
      { dev: known.dev + 1n },
      { dev: known.dev ^ (1n << 8n) },
      { dev: known.dev ^ (1n << 20n) }
    ]) {
      const other = generationKey({ ...known, ...change })
      assert.equal(pathStillNames(cString(path), other), false)
      assert.equal(fdStillHas(fd, other), false)
      assert.equal(sameGeneration(known, other.generation), false)
    }
  })

  it('is asked of the path as it is now, and of the descriptor as it was opened', (t) => {
    const { fd, path } = patternFile(t, 1234)
    const key = generationKey(statPath(cString(path)) as Generation)
    fs.writeFileSync(`${path}.new`, 'replaced')
    fs.renameSync(`${path}.new`, path)
    assert.equal(pathStillNames(cString(path), key), false)
    assert.equal(fdStillHas(fd, key), true)
    fs.rmSync(path)
    assert.equal(statPath(cString(path)), undefined)
    assert.equal(pathStillNames(cString(path), key), false)
    assert.equal(fdStillHas(fd, key), true)
  })

  it('is nothing for what is not a regular file', (t) => {
    const folder = tempFolder(t)
    assert.equal(statPath(cString(folder)), undefined)
    assert.equal(statPath(cString('/dev/null')), undefined)
    assert.equal(statPath(cString(join(folder, 'missing'))), undefined)
  })

  it('is that of the target of a symbolic link', (t) => {
    const { path } = patternFile(t, 1234)
    fs.symlinkSync('pattern', `${path}.link`)
    assert.deepEqual(statPath(cString(`${path}.link`)), statPath(cString(path)))
  })
})

describe('page faults of this thread', () => {
  it('are counted when pages are touched for the first time', (t) => {
    const { fd } = patternFile(t, pageBytes)
    // one page each, because one fault may bring in all neighbours that are in memory
    const mappings = Array.from({ length: 50 }, () => mapped(t, fd, pageBytes))
    const before = threadFaults()
    for (const mapping of mappings) assert.equal(mapping.bytes[0], patternBytes(0, 1)[0])
    const after = threadFaults()
    const faults = after.minor - before.minor + (after.major - before.major)
    assert.ok(faults >= mappings.length, `${faults} faults`)
  })
})

function sparseFile(t: TestContext, size: number): { fd: number; path: string } {
  const path = join(tempFolder(t), 'sparse')
  fs.writeFileSync(path, '')
  fs.truncateSync(path, size)
  return { fd: opened(t, path), path }
}

function patternFile(t: TestContext, size: number): { fd: number; path: string } {
  const path = join(tempFolder(t), 'pattern')
  fs.writeFileSync(path, patternBytes(0, size))
  return { fd: opened(t, path), path }
}

function opened(t: TestContext, path: string): number {
  const fd = fs.openSync(path, 'r')
  t.after(() => fs.closeSync(fd))
  return fd
}

function mapped(t: TestContext, fd: number, length: number): Mapping {
  const mapping = map(fd, 0, length)
  t.after(() => revoke(mapping))
  return mapping
}

function writeAt(path: string, bytes: Buffer, position: number): void {
  const fd = fs.openSync(path, 'r+')
  fs.writeSync(fd, bytes, 0, bytes.length, position)
  fs.closeSync(fd)
}

function readPage(fd: number, page: number): void {
  fs.readSync(fd, Buffer.alloc(pageBytes), 0, pageBytes, page * pageBytes)
}

function cString(path: string): Buffer {
  return Buffer.from(`${path}\0`)
}

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import fc from 'fast-check'
import { createCounters } from '#src/storage/counters.ts'
import { pageBytes } from '#src/storage/native/page-size.ts'
import { FileRegions, type Region, RegionTable } from '#src/storage/regions.ts'
import { mappedBytes, mappedExtents } from '../../support/kernel-view.ts'
import { tempFolder } from '../../support/serve.ts'

const regionBytes = 16 * pageBytes

describe('region table', () => {
  it('lets go of the least recently used region first', (t) => {
    const { table, counters } = tableFor(3)
    const { owner } = sparseFile(t, 10 * regionBytes)
    for (const index of [0, 1, 2, 0, 0, 2]) use(table, owner, index)
    use(table, owner, 3)
    assert.deepEqual(mappedIndexes(owner), [0, 2, 3])
    use(table, owner, 4)
    assert.deepEqual(mappedIndexes(owner), [2, 3, 4])
    assert.equal(counters.regionEvictions, 2)
    assert.equal(table.count, 3)
    assert.equal(table.mappedBytes, 3 * regionBytes)
  })

  it('maps a region once, however often it is asked for', (t) => {
    const { table } = tableFor(3)
    const { owner, path } = sparseFile(t, 2 * regionBytes)
    const first = table.at(owner, 0)
    assert.equal(table.at(owner, regionBytes - 1), first)
    assert.notEqual(table.at(owner, regionBytes), first)
    assert.equal(table.at(owner, 1), first)
    assert.equal(mappedBytes(path), 2 * regionBytes)
  })

  it('never lets go of a region in use, and maps nothing when all are', (t) => {
    const { table, counters } = tableFor(2)
    const { owner, path } = sparseFile(t, 4 * regionBytes)
    const [first, second] = [use(table, owner, 0), use(table, owner, 1)]
    table.retain(first)
    table.retain(second)
    table.retain(second)
    assert.equal(table.at(owner, 2 * regionBytes), undefined)
    assert.equal(counters.mappingFailures.get('limit'), 1)
    table.release(second)
    assert.equal(table.at(owner, 2 * regionBytes), undefined)
    table.release(second)
    use(table, owner, 2)
    assert.deepEqual(mappedIndexes(owner), [0, 2])
    assert.equal(mappedBytes(path), 2 * regionBytes)
  })

  it('keeps a retired region in use mapped and counted until its last release', (t) => {
    const { table } = tableFor(2)
    const { owner, path } = sparseFile(t, 2 * regionBytes)
    const region = use(table, owner, 0)
    use(table, owner, 1)
    table.retain(region)
    table.retain(region)
    table.retireAll(owner)
    assert.deepEqual(mappedExtents(path), [{ length: regionBytes, offset: 0 }])
    assert.equal(table.mappedBytes, regionBytes)
    table.release(region)
    assert.equal(mappedBytes(path), regionBytes)
    table.release(region)
    assert.equal(mappedBytes(path), 0)
    assert.equal(table.mappedBytes, 0)
    assert.equal(table.count, 0)
    assert.throws(() => table.release(region), { name: 'AssertionError' })
  })

  it('maps nothing more of a file that was let go, and counts no failure', (t) => {
    const { table, counters } = tableFor(100)
    const { owner, path } = sparseFile(t, 4 * regionBytes)
    const region = use(table, owner, 0)
    table.retain(region)
    table.retireAll(owner)
    assert.equal(owner.isClosed, true)
    for (const index of [0, 1, 3]) assert.equal(table.at(owner, index * regionBytes), undefined)
    assert.equal(table.leases, 1)
    table.release(region)
    assert.equal(table.leases, 0)
    assert.equal(mappedBytes(path), 0)
    assert.equal(
      [...counters.mappingFailures.values()].reduce((sum, count) => sum + count),
      0
    )
  })

  it('lets a whole file go from the address space at once, without the collector', (t) => {
    const { table } = tableFor(100)
    const { owner, path } = sparseFile(t, 20 * regionBytes + 1)
    // the Buffers stay reachable, so no collector could have unmapped them
    const held = Array.from({ length: 21 }, (_, index) => use(table, owner, index))
    assert.equal(mappedBytes(path), 20 * regionBytes + pageBytes)
    table.retireAll(owner)
    assert.deepEqual(mappedExtents(path), [])
    assert.equal(table.mappedBytes, 0)
    assert.equal(held.length, 21)
  })

  it('holds its limit in the address space, not only in its own count', (t) => {
    const maxRegions = 4
    const { table } = tableFor(maxRegions)
    const files = [
      sparseFile(t, 8 * regionBytes),
      sparseFile(t, 5 * regionBytes + 1),
      sparseFile(t, 3)
    ]
    const held: Region[] = []
    const step = fc.record({
      file: fc.nat(files.length - 1),
      share: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      act: fc.constantFrom('use', 'hold', 'drop')
    })
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        for (const { file, share, act } of steps) {
          const { owner } = files[file] as SparseFile
          const region = table.at(owner, Math.floor(share * owner.size))
          if (act === 'hold' && region !== undefined && held.length < maxRegions) {
            table.retain(region)
            held.push(region)
          } else if (act === 'drop') {
            const dropped = held.shift()
            if (dropped !== undefined) table.release(dropped)
          }
          const inAddressSpace = files.reduce((sum, { path }) => sum + mappedBytes(path), 0)
          assert.equal(inAddressSpace, table.mappedBytes)
          assert.ok(inAddressSpace <= maxRegions * regionBytes)
        }
      }),
      { numRuns: 40 }
    )
  })

  it('maps nothing of a file that the kernel does not let it map, and says why', (t) => {
    const { table, counters } = tableFor(2)
    const writeOnly = sparseFile(t, regionBytes, 'r+').path
    const fd = fs.openSync(writeOnly, fs.constants.O_WRONLY)
    t.after(() => fs.closeSync(fd))
    const owner = ownerOf(fd, regionBytes)
    assert.equal(table.at(owner, 0), undefined)
    assert.equal(owner.unmappable, 'EACCES')
    assert.equal(table.at(owner, 0), undefined)
    assert.equal(counters.mappingFailures.get('EACCES'), 2)

    const folder = fs.openSync(tempFolder(t), 'r')
    t.after(() => fs.closeSync(folder))
    assert.equal(table.at(ownerOf(folder, regionBytes), 0), undefined)
    assert.equal(counters.mappingFailures.get('ENODEV'), 1)
    assert.equal(table.mappedBytes, 0)
  })

  it('says the same of regions that only 64-bit offsets reach', (t) => {
    const { table, counters } = tableFor(2)
    const folder = fs.openSync(tempFolder(t), 'r')
    t.after(() => fs.closeSync(folder))
    assert.equal(table.at(ownerOf(folder, 2 ** 33), 2 ** 32), undefined)
    assert.equal(counters.mappingFailures.get('ENODEV'), 1)
  })

  it('gives up a region when the address space is full, and maps again when there is room', (t) => {
    const answer = runChild('out-of-memory-child.js', tempFolder(t))
    assert.deepEqual(answer, {
      whileFull: 'undefined',
      reasons: { limit: 0, ENOMEM: 1, ENODEV: 0 },
      evictions: 1,
      unmappable: 'undefined',
      afterwards: 'mapped'
    })
  })

  it('makes a late write of a region that was let go fail with EFAULT, and survives it', (t) => {
    const answer = runChild('late-write-child.js', tempFolder(t))
    assert.deepEqual(answer, { below2GiB: 'EFAULT', above2GiB: 'EFAULT', isAlive: true })
  })
})

interface SparseFile {
  readonly path: string
  readonly owner: FileRegions
}

function tableFor(regions: number) {
  const counters = createCounters()
  const table = new RegionTable({ regionBytes, maxMappedBytes: regions * regionBytes }, counters)
  return { table, counters }
}

function sparseFile(t: TestContext, size: number, flags = 'r'): SparseFile {
  const path = join(tempFolder(t), 'sparse')
  fs.writeFileSync(path, '')
  fs.truncateSync(path, size)
  const fd = fs.openSync(path, flags)
  t.after(() => fs.closeSync(fd))
  return { path, owner: ownerOf(fd, size) }
}

function ownerOf(fd: number, size: number): FileRegions {
  return new FileRegions(fd, size)
}

function use(table: RegionTable, owner: FileRegions, index: number): Region {
  const region = table.at(owner, index * regionBytes)
  assert.ok(region !== undefined)
  assert.equal(region.offset, index * regionBytes)
  return region
}

function mappedIndexes(owner: FileRegions): number[] {
  return owner.mapped.flatMap((region, index) => (region === undefined ? [] : [index]))
}

/** Run a program of this folder in a process of its own; it prints one line of JSON. */
function runChild(program: string, folder: string): unknown {
  const words = ['--expose-gc', join(__dirname, program), folder]
  return JSON.parse(execFileSync(process.execPath, words, { encoding: 'utf8', timeout: 20_000 }))
}

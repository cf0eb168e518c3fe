/** What was read ahead is asked of the kernel: cachestat(2) of a file that was not in memory before. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { disableReadahead, prefetch } from '#src/storage/native/advice.ts'
import type { OpenFile } from '#src/storage/open-file.ts'
import { Readahead } from '#src/storage/readahead.ts'
import { readaheadLimit } from '#src/storage/readahead-limit.ts'
import { mapResidency } from '#src/storage/residency-map.ts'
import { openStorage } from '#src/storage/storage.ts'
import { PoolShare } from '#src/storage/thread-pool.ts'
import { dropPages, hasResidentPages } from '../../support/kernel-view.ts'
import { makeOld, tempFolder, until } from '../../support/serve.ts'

const MiB = 2 ** 20

describe('readahead', () => {
  it('goes as far ahead within a range as its windows have come, and 8 MiB at the most', async (t) => {
    const file = await coldFile(t)
    if (file === undefined) return
    const { readahead, settled } = bench(file)
    readahead.taken(file, 0, MiB, file.size, true)
    assert.ok(readahead.goesOnAt(file, MiB))
    assert.ok(!readahead.goesOnAt(file, 0) && !readahead.goesOnAt(file, MiB + 1))
    await settled()
    assert.equal(await residentFrom(file, MiB), MiB)
    for (let at = MiB; at < 20 * MiB; at += MiB) {
      assert.ok(readahead.taken(file, at, at + MiB, file.size, false))
    }
    await settled()
    assert.equal(await residentFrom(file, 20 * MiB), 8 * MiB)
  })

  it('does no more when no more is taken: a client that is slow, or gone', async (t) => {
    const file = await coldFile(t)
    if (file === undefined) return
    const { readahead, settled } = bench(file)
    readahead.taken(file, 0, MiB, file.size, true)
    // the kernel took the window in part: its rest is taken again
    for (let at = MiB / 4; at < MiB; at += MiB / 4) readahead.taken(file, at, MiB, file.size, false)
    await settled()
    assert.equal(await residentFrom(file, 0), MiB)
  })

  it('forgets who has not gone on for a while', async (t) => {
    const file = await coldFile(t)
    if (file === undefined) return
    const { readahead, settled } = bench(file)
    const startMs = performance.now()
    readahead.taken(file, 0, 4096, 4096, true)
    readahead.taken(file, MiB, 2 * MiB, 4 * MiB, true)
    await settled()
    const isKnown = (afterMs: number) => {
      const clock = t.mock.method(performance, 'now', () => startMs + afterMs)
      const known = [4096, 2 * MiB].map((at) => readahead.goesOnAt(file, at))
      clock.mock.restore()
      return known
    }
    assert.deepEqual(isKnown(4000), [true, true])
    assert.deepEqual(isKnown(6000), [false, true])
    assert.deepEqual(isKnown(31_000), [false, false])
  })

  it('ends with the range, until two more were asked for behind it', async (t) => {
    const file = await coldFile(t)
    if (file === undefined) return
    const { readahead, settled } = bench(file)
    // the end of a long answer is a read of its own
    readahead.taken(file, 0, MiB, 2 * MiB, true)
    readahead.taken(file, MiB, 2 * MiB - 4096, 2 * MiB, false)
    readahead.taken(file, 2 * MiB - 4096, 2 * MiB, 2 * MiB, false)
    readahead.taken(file, 2 * MiB, 3 * MiB, 3 * MiB, true)
    await settled()
    assert.equal(await residentFrom(file, 2 * MiB), 0)
    readahead.taken(file, 3 * MiB, 4 * MiB, 4 * MiB, true)
    await settled()
    assert.equal(await residentFrom(file, 4 * MiB), 4 * MiB)
  })

  it('ends with the range where the kernel goes on by itself', async (t) => {
    const file = await coldFile(t)
    if (file === undefined) return
    const { readahead, settled } = bench(file, 2, false)
    for (let at = 0; at < 4 * MiB; at += MiB) readahead.taken(file, at, at + MiB, at + MiB, true)
    readahead.taken(file, 4 * MiB, 5 * MiB, 6 * MiB, true)
    await settled()
    assert.equal(await residentFrom(file, 0), MiB)
  })

  it('does nothing for ranges at random, nor for a file that is in memory', async (t) => {
    const file = await coldFile(t)
    if (file === undefined) return
    const { readahead, settled } = bench(file)
    for (let at = 0; at < 8 * MiB; at += MiB) {
      assert.equal(readahead.taken(file, at, at + MiB, file.size, false), false)
    }
    for (const at of [50, 3, 20, 41, 7]) {
      readahead.taken(file, at * MiB, at * MiB + 65_536, at * MiB + 65_536, true)
    }
    assert.equal(readahead.taken(file, 30 * MiB, 31 * MiB, file.size, false), false)
    await settled()
    assert.equal(await residentFrom(file, 0), 0)
  })

  it('keeps sequences in one file apart, among many ranges at random', async (t) => {
    const file = await coldFile(t)
    if (file === undefined) return
    const { readahead, settled } = bench(file)
    for (let step = 0; step < 4; step++) {
      for (const begin of [0, 32 * MiB]) {
        const at = begin + step * MiB
        readahead.taken(file, at, at + MiB, begin + 32 * MiB, true)
        for (let other = 0; other < 40; other++) {
          const place = 48 * MiB + (other * 7 + step) * 16_384
          readahead.taken(file, place, place + 4096, place + 4096, true)
        }
      }
    }
    await settled()
    for (const at of [4 * MiB, 36 * MiB])
      assert.equal(await residentFrom(file, at, 4 * MiB), 4 * MiB)
    assert.equal(await residentFrom(file, 48 * MiB), 0)
  })

  it('takes a thread of the reads only if one is free', async (t) => {
    const file = await coldFile(t)
    if (file === undefined) return
    const { readahead, reads, settled } = bench(file, 1)
    let end: (() => void) | undefined
    const read = reads.run('f', {}, () => new Promise<void>((resolve) => (end = resolve)))
    readahead.taken(file, 0, MiB, file.size, true)
    assert.equal(reads.waiting, 0)
    end?.()
    await read
    await settled()
    assert.equal(await residentFrom(file, 0), 0)
    readahead.taken(file, MiB, 2 * MiB, file.size, true)
    await settled()
    assert.equal(await residentFrom(file, 2 * MiB), 2 * MiB)
  })

  it('keeps the file open while it works, and no longer', async (t) => {
    const file = await coldFile(t)
    if (file === undefined) return
    const { readahead } = bench(file)
    const { leases } = file
    readahead.taken(file, 0, MiB, file.size, true)
    assert.equal(file.leases, leases + 1)
    await until('it is let go', () => file.leases === leases)
  })
})

describe('the limit of one call to read ahead', () => {
  it('is what the kernel takes at once', async (t) => {
    const file = await coldFile(t)
    if (file === undefined) return
    const limit = readaheadLimit(file.freshness.generation.dev)
    assert.ok(limit >= 128 * 1024)
    const length = Math.min(limit, file.size)
    await prefetch(file.fd, 0, length)
    assert.equal(await residentFrom(file, 0), length)
  })

  it('is the standard one where the device tells nothing', () => {
    assert.equal(readaheadLimit(0xfff_fff_fffn), 128 * 1024)
  })
})

/** @param threads that may read at once */
function bench(file: OpenFile, threads = 2, crossesRanges = true) {
  const reads = new PoolShare({ what: 'reads', maxRunning: threads, maxWaiting: 10 })
  const { leases } = file
  return {
    reads,
    readahead: new Readahead(reads, crossesRanges),
    /** a call that works holds the file; of a file with holes nothing is waited for then */
    settled: () => until('all was read ahead', () => file.leases === leases)
  }
}

async function residentFrom(file: OpenFile, start: number, length = file.size - start) {
  return (await mapResidency(file, start, start + length, 1)).residentBytes ?? Number.NaN
}

/** Without a page in memory, 64 MiB; undefined, and the test is skipped, where its file system keeps its pages. */
async function coldFile(t: TestContext): Promise<OpenFile | undefined> {
  const root = tempFolder(t)
  const name = path.join(root, 'f')
  fs.writeFileSync(name, '')
  fs.truncateSync(name, 64 * MiB)
  makeOld(name)
  const storage = await openStorage({
    root,
    mode: 'read',
    isGuarded: true,
    windowBytes: MiB,
    regionBytes: MiB,
    maxMappedBytes: 2 ** 30,
    maxOpenFiles: 10,
    revalidateMs: 0,
    maxWaitingReads: 10,
    maxBufferedBytes: 2 ** 25,
    symlinks: 'within',
    dotfiles: 'deny'
  })
  dropPages(name)
  const keepsPages = hasResidentPages(name)
  const file = await storage.catalog.open('f')
  disableReadahead(file.fd)
  t.after(() => {
    file.release()
    storage.close()
  })
  if (!keepsPages && file.isTrusted) return file
  t.skip('what of it is in memory is not to be had here')
  return undefined
}

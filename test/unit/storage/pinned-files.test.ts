/** The kernel's own account of locked pages is what is compared: Locked of /proc/self/smaps. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import pino from 'pino'
import { pageBytes } from '#src/storage/native/page-size.ts'
import { PinnedFiles, type PinnedLimits } from '#src/storage/pinned-files.ts'
import { Pinning } from '#src/storage/pinning.ts'
import { openStorage, type Storage } from '#src/storage/storage.ts'
import { lockedBytes, mappedBytes } from '../../support/kernel-view.ts'
import { makeOld, tempFolder, until, writePattern } from '../../support/serve.ts'

const none = async () => {}
const neverAborted = new AbortController().signal

describe('pinned files', () => {
  it('have all their pages locked until they are unpinned', async (t) => {
    const { storage, file, pinned } = await bench(t, 5 * pageBytes + 1)
    const open = await storage.catalog.open('f')
    assert.equal(await pinned.pin(open, none, neverAborted), undefined)
    assert.equal(lockedBytes(file), 6 * pageBytes)
    assert.equal(pinned.bytes, open.size)
    assert.equal(pinned.bytesOf(open, 0, open.size), open.size)
    assert.equal(pinned.bytesOf(open, pageBytes, 2 * pageBytes), pageBytes)
    pinned.unpin('f')
    assert.equal(mappedBytes(file), 0)
    assert.equal(pinned.bytes, 0)
    open.release()
  })

  it('are locked from their beginning as far as the limit allows, and on from there later', async (t) => {
    const { storage, file, pinned } = await bench(t, 10 * pageBytes, { maxBytes: 7 * pageBytes })
    const open = await storage.catalog.open('f')
    assert.equal(await pinned.pin(open, none, neverAborted), 'memory')
    assert.equal(lockedBytes(file), 7 * pageBytes)
    assert.equal(pinned.bytesOf(open, 0, open.size), 7 * pageBytes)
    assert.deepEqual(pinned.of('f')?.isWhole, false)
    assert.equal(await pinned.pin(open, none, neverAborted), 'memory')
    assert.equal(lockedBytes(file), 7 * pageBytes)
    open.release()
  })

  it('are not locked where reading them fails', async (t) => {
    const { storage, file, pinned } = await bench(t, 3 * pageBytes)
    const open = await storage.catalog.open('f')
    const failing = async () => {
      throw new Error('a broken disk')
    }
    await assert.rejects(pinned.pin(open, failing, neverAborted), /a broken disk/)
    assert.equal(lockedBytes(file), 0)
    assert.equal(pinned.bytes, 0)
    open.release()
  })

  it('that became shorter meanwhile are an error, and no page of them stays locked', async (t) => {
    const { storage, file, pinned } = await bench(t, 8 * pageBytes)
    const open = await storage.catalog.open('f')
    const truncated = async () => fs.truncateSync(file, pageBytes)
    await assert.rejects(pinned.pin(open, truncated, neverAborted), { code: 'READ_FAILED' })
    assert.equal(lockedBytes(file), 0)
    open.release()
  })

  it('are no more than so many', async (t) => {
    const { storage, root, pinned } = await bench(t, pageBytes, { maxFiles: 1 })
    writePattern(path.join(root, 'g'), pageBytes)
    const files = [await storage.catalog.open('f'), await storage.catalog.open('g')]
    const reasons = []
    for (const open of files) reasons.push(await pinned.pin(open, none, neverAborted))
    assert.deepEqual(reasons, [undefined, 'maps'])
    for (const open of files) open.release()
  })

  it('of no bytes take nothing', async (t) => {
    const { storage, pinned } = await bench(t, 0)
    const open = await storage.catalog.open('f')
    assert.equal(await pinned.pin(open, none, neverAborted), undefined)
    assert.deepEqual(pinned.paths(), [])
    open.release()
  })
})

describe('pinning', () => {
  for (const mode of ['mmap', 'read'] as const) {
    it(`follows files that are replaced, deleted or new, and ends with nothing locked: ${mode}`, async (t) => {
      const { storage, root, file } = await bench(t, 4 * pageBytes, {}, mode)
      const { pinned } = storage
      const options = { root, dotfiles: 'deny', pin: ['{f,g}'], warmRate: 2 ** 30 } as const
      const pinning = new Pinning(options, storage, pino({ level: 'silent' }))
      const ended = pinning.run(20)
      await until('it is locked', () => pinned.bytes === 4 * pageBytes)

      writePattern(`${file}.new`, 9 * pageBytes)
      fs.renameSync(`${file}.new`, file)
      await until('the new one is locked', () => pinned.bytes === 9 * pageBytes)
      assert.equal(lockedBytes(file), 9 * pageBytes, 'and nothing of the old one')

      fs.appendFileSync(file, Buffer.alloc(pageBytes))
      await until('what was added is locked', () => pinned.bytes === 10 * pageBytes)

      fs.rmSync(file)
      await until('the lock is gone with the file', () => pinned.bytes === 0)
      assert.equal(mappedBytes(file), 0)

      writePattern(file, 2 * pageBytes)
      await until('it is back', () => pinned.bytes === 2 * pageBytes)
      pinning.stop()
      await ended
      assert.equal(mappedBytes(file), 0)
    })
  }
})

async function bench(
  t: TestContext,
  sizeBytes: number,
  limits: Partial<PinnedLimits> = {},
  mode: 'mmap' | 'read' = 'read'
): Promise<{ storage: Storage; root: string; file: string; pinned: PinnedFiles }> {
  const root = tempFolder(t)
  const file = path.join(root, 'f')
  writePattern(file, sizeBytes)
  makeOld(file)
  const storage = await openStorage({
    root,
    mode,
    isGuarded: true,
    windowBytes: 2 ** 20,
    regionBytes: 2 ** 20,
    maxMappedBytes: 2 ** 30,
    maxOpenFiles: 10,
    revalidateMs: 0,
    maxWaitingReads: 10,
    maxBufferedBytes: 2 ** 25,
    symlinks: 'within',
    dotfiles: 'deny'
  })
  const pinned = new PinnedFiles({ maxBytes: 2 ** 30, maxFiles: 100, ...limits })
  t.after(() => {
    pinned.unpinAll()
    storage.close()
  })
  return { storage, root, file, pinned }
}

/** What every source of bytes must do, whatever it is made of: run by byte-source.test.ts for each of them. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import fc from 'fast-check'
import type { Window } from '#src/storage/byte-source.ts'
import type { OpenFile } from '#src/storage/open-file.ts'
import { openStorage, type Storage, type StorageOptions } from '#src/storage/storage.ts'
import { mappedBytes } from '../../support/kernel-view.ts'
import { bytesOf } from '../../support/memory.ts'
import { makeOld, patternBytes, tempFolder } from '../../support/serve.ts'

export interface Kind {
  readonly name: string
  readonly options: Partial<StorageOptions>
  /** where the windows of a file whose pages are all resident come from */
  readonly source: Window['source']
  /** folder in which the file is made; default: as tempFolder has it */
  readonly parent?: string
  /** changes an open file to what this kind needs */
  readonly prepare?: (file: OpenFile) => void
}

// Neither is a power of two or a multiple of the page size where it need not be: edges fall everywhere.
const fileBytes = 300_001
const windowBytes = 10_007
const regionBytes = 64 * 1024

export function byteSourceContract(kind: Kind): void {
  describe(`byte source: ${kind.name}`, () => {
    it('yields exactly the bytes of any range, window after window', async (t) => {
      const { storage, file } = await openPattern(t, kind)
      const position = fc.integer({ min: 0, max: fileBytes - 1 })
      const length = fc.oneof(
        fc.integer({ min: 1, max: 3 * windowBytes }),
        fc.integer({ min: 1, max: fileBytes })
      )
      await fc.assert(
        fc.asyncProperty(position, length, async (start, length) => {
          const end = Math.min(start + length, fileBytes)
          const windows = await takeAll(storage, file, start, end)
          let at = start
          for (const window of windows) {
            assert.ok(window.length >= 1 && window.length <= windowBytes)
            assert.ok(at + window.length <= end, 'a window passes the end that was asked for')
            assert.equal(window.copy === undefined, window.source === 'mapped')
            assert.equal(window.copy?.length ?? window.length, window.length)
            assertPattern(bytesOf(window), at)
            at += window.length
          }
          assert.equal(at, end)
          for (const window of windows) window.release()
        }),
        { numRuns: 60 }
      )
    })

    it('yields the bytes around the edges of regions, and the last one', async (t) => {
      const { storage, file } = await openPattern(t, kind)
      const edges = [regionBytes, 2 * regionBytes, 4 * regionBytes, fileBytes - 1, fileBytes]
      for (const edge of edges) {
        for (const [start, end] of [
          [edge - 1, edge],
          [edge - 1, edge + 1],
          [edge, edge + 1],
          [edge - 5000, edge + 5000]
        ] as const) {
          const boundedEnd = Math.min(end, fileBytes)
          if (start >= boundedEnd) continue
          const windows = await takeAll(storage, file, start, boundedEnd)
          assertPattern(Buffer.concat(windows.map(bytesOf)), start)
          for (const window of windows) window.release()
        }
      }
    })

    it(`takes the windows of a resident file from: ${kind.source}`, async (t) => {
      const { storage, file } = await openPattern(t, kind)
      const windows = await takeAll(storage, file, 0, fileBytes)
      assert.deepEqual([...new Set(windows.map((window) => window.source))], [kind.source])
      const isMapped = kind.source === 'mapped'
      assert.equal(storage.regions.count, isMapped ? Math.ceil(fileBytes / regionBytes) : 0)
      assert.equal(storage.regions.mappedBytes > 0, isMapped)
      for (const window of windows) window.release()
    })

    it('keeps a window valid until it is released, though its file is let go', async (t) => {
      const { storage, file, path } = await openPattern(t, kind)
      const windows = await takeAll(storage, file, 0, fileBytes)
      storage.close()
      file.release()
      let at = 0
      for (const window of windows) {
        assertPattern(bytesOf(window), at)
        at += window.length
        window.release()
      }
      assert.equal(storage.regions.count, 0)
      assert.equal(storage.regions.mappedBytes, 0)
      assert.equal(mappedBytes(path), 0)
    })

    it('gives copies of a file that was let go, and maps nothing of it', async (t) => {
      const { storage, file, path } = await openPattern(t, kind)
      storage.close()
      const windows = await takeAll(storage, file, 0, fileBytes)
      assert.deepEqual([...new Set(windows.map((window) => window.source))], ['read'])
      assertPattern(Buffer.concat(windows.map(bytesOf)), 0)
      for (const window of windows) window.release()
      file.release()
      assert.equal(storage.regions.count, 0)
      assert.equal(mappedBytes(path), 0)
    })

    it('refuses to release a window twice', async (t) => {
      const { storage, file } = await openPattern(t, kind)
      const [window] = await takeAll(storage, file, 0, 1)
      window?.release()
      assert.throws(() => window?.release(), { name: 'AssertionError' })
    })

    it('says at which offset a file ended that has become shorter', async (t) => {
      const { storage, file, path } = await openPattern(t, kind)
      fs.truncateSync(path, 100_000)
      const inside = await storage.source.read(file, 99_000, 100_000)
      assertPattern(inside.copy, 99_000)
      inside.release()
      for (const [start, end] of [
        [95_000, 105_000],
        [100_000, 100_001],
        [100_000, fileBytes]
      ] as const) {
        await assert.rejects(storage.source.read(file, start, end), {
          code: 'SHORT_READ',
          offset: 100_000,
          path: 'pattern'
        })
      }
      await assert.rejects(storage.source.read(file, 250_000, fileBytes), { offset: 250_000 })
    })

    it('says at which offset reading failed, and with what', async (t) => {
      const { storage, file } = await openPattern(t, kind)
      // no file can be read at all through a descriptor that was opened for writing
      const fd = fs.openSync('/dev/null', 'w')
      t.after(() => fs.closeSync(fd))
      Object.defineProperty(file, 'fd', { value: fd })
      await assert.rejects(storage.source.read(file, 12_345, 23_456), {
        code: 'READ_FAILED',
        reason: 'EBADF',
        offset: 12_345
      })
    })
  })
}

/** A file of the pattern, opened and warm: what was just written is in the page cache. */
async function openPattern(
  t: TestContext,
  kind: Kind
): Promise<{ storage: Storage; file: OpenFile; path: string }> {
  const root = tempFolder(t, kind.parent)
  const path = join(root, 'pattern')
  fs.writeFileSync(path, patternBytes(0, fileBytes))
  // of a file that was changed a moment ago all windows are copies
  makeOld(path)
  const storage = await openStorage({
    root,
    mode: 'mmap',
    isGuarded: true,
    windowBytes,
    regionBytes,
    maxMappedBytes: 2 ** 30,
    maxOpenFiles: 10,
    maxWaitingReads: 1000,
    maxBufferedBytes: 2 ** 26,
    revalidateMs: 0,
    symlinks: 'within',
    dotfiles: 'allow',
    smallBytes: 0,
    ...kind.options
  })
  t.after(() => storage.close())
  const file = await storage.catalog.open('pattern')
  kind.prepare?.(file)
  return { storage, file, path }
}

/** All windows of a range, each still held. */
async function takeAll(
  { source }: Storage,
  file: OpenFile,
  start: number,
  end: number
): Promise<Window[]> {
  const windows: Window[] = []
  for (let at = start; at < end; ) {
    const window = source.tryRead(file, at, end) ?? (await source.read(file, at, end))
    windows.push(window)
    at += window.length
  }
  return windows
}

function assertPattern(bytes: Uint8Array, start: number): void {
  const expected = patternBytes(start, start + bytes.length)
  assert.equal(Buffer.compare(bytes, expected), 0, `other bytes than the file's at ${start}`)
}

/** Validators by the age of a content. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { describe, it, type TestContext } from 'node:test'
import type { Selected } from '#src/delivery/answer.ts'
import { createSelector } from '#src/delivery/headers.ts'
import type { OpenFile } from '#src/storage/open-file.ts'
import { Bench } from './bench.ts'

const modifiedMs = Date.UTC(2024, 1, 29, 12, 0, 0, 700)
const second = modifiedMs - 700

describe('the validators of a file', () => {
  it('are a weak ETag alone, while its mtime may not tell it from the next content', async (t) => {
    const { select, file } = await selectorAt(t, modifiedMs + 49)
    const { representation, common, isFinal } = select(file)
    assert.match(representation.etag, /^W\/"[^"]+"$/)
    assert.equal(representation.lastModifiedMs, undefined)
    assert.equal(fieldOf(common.fields, 'etag'), representation.etag)
    assert.equal(fieldOf(common.fields, 'last-modified'), undefined)
    assert.equal(isFinal, false)
  })

  it('are a strong ETag alone, while the second of its mtime is not over', async (t) => {
    const { select, file } = await selectorAt(t, modifiedMs + 50)
    const { representation, common, isFinal } = select(file)
    assert.match(representation.etag, /^"[^"]+"$/)
    assert.equal(fieldOf(common.fields, 'etag'), representation.etag)
    assert.equal(fieldOf(common.fields, 'last-modified'), undefined)
    assert.equal(isFinal, false)
  })

  it('are a strong ETag and Last-Modified afterwards, and are kept', async (t) => {
    const { select, file } = await selectorAt(t, second + 1010)
    const selected = select(file)
    const { representation, common, isFinal } = selected
    assert.match(representation.etag, /^"[^"]+"$/)
    assert.equal(representation.lastModifiedMs, second)
    assert.equal(fieldOf(common.fields, 'last-modified'), new Date(second).toUTCString())
    assert.equal(isFinal, true)
    assert.equal(select(file), selected)
    t.mock.method(Date, 'now', () => 0)
    assert.equal(select(file), selected, 'for good')
  })

  it('become stronger while the file stays open, and never confirm what was weak', async (t) => {
    const { select, file } = await selectorAt(t, modifiedMs + 1)
    const tags: string[] = []
    for (const nowMs of [modifiedMs + 1, modifiedMs + 50, second + 1010]) {
      t.mock.method(Date, 'now', () => nowMs)
      tags.push(select(file).representation.etag)
    }
    const [weak, strong, dated] = tags as [string, string, string]
    assert.equal(strong, dated)
    assert.notEqual(weak, `W/${strong}`)
  })

  it('of a time in the future have no date', async (t) => {
    const { select, file } = await selectorAt(t, modifiedMs - 60_000)
    const { representation, isFinal } = select(file)
    assert.match(representation.etag, /^"/)
    assert.equal(representation.lastModifiedMs, undefined)
    assert.equal(isFinal, false)
  })

  it('before 1970 are of the second that had begun', async (t) => {
    const { select, file } = await selectorAt(t, modifiedMs, -500)
    assert.equal(select(file).representation.lastModifiedMs, -1000)
  })

  it('stand before the fields that all files have, and are another file’s no more', async (t) => {
    const { select, file, bench } = await selectorAt(t, modifiedMs + 3_600_000)
    const { common, representation } = select(file)
    assert.equal(fieldOf(common.fields, 'accept-ranges'), 'bytes')
    assert.deepEqual(common.fields.slice(-2), ['x-common', 'yes'])
    assert.equal(representation.completeLength, 1000)
    assert.equal(representation.contentType, 'image/tiff')
    fs.writeFileSync(bench.path('file.tif'), 'other')
    const other = await bench.storage.catalog.open('file.tif')
    t.after(() => other.release())
    assert.notEqual(select(other).representation.etag, representation.etag)
    assert.equal(select(other).representation.completeLength, 5)
  })
})

async function selectorAt(
  t: TestContext,
  nowMs: number,
  mtimeMs = modifiedMs
): Promise<{
  readonly select: (file: OpenFile) => Selected
  readonly file: OpenFile
  readonly bench: Bench
}> {
  const bench = await Bench.open(t)
  const path = bench.write('file.tif', Buffer.alloc(1000))
  fs.utimesSync(path, new Date(mtimeMs), new Date(mtimeMs))
  t.mock.method(Date, 'now', () => nowMs)
  const file = await bench.storage.catalog.open('file.tif')
  t.after(() => file.release())
  return { select: createSelector(['x-common', 'yes']), file, bench }
}

function fieldOf(fields: readonly string[], name: string): string | undefined {
  const index = fields.indexOf(name)
  return index === -1 ? undefined : fields[index + 1]
}

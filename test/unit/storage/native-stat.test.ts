import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import {
  fdStillHas,
  type Generation,
  generationKey,
  pathStillNames,
  sameGeneration,
  statPath
} from '#src/storage/native/stat.ts'
import { tempFolder } from '../../support/serve.ts'
import { cString, patternFile } from './native-files.ts'

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

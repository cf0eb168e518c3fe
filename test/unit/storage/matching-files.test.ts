import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { matchingFiles } from '#src/storage/matching-files.ts'
import { tempFolder } from '../../support/serve.ts'

function tree(t: TestContext): string {
  const root = tempFolder(t)
  for (const file of [
    'a.tif',
    'b.tif',
    'c.txt',
    'maps/d.tif',
    'maps/deep/e.tif',
    '.f.tif',
    '.g/h.tif'
  ]) {
    fs.mkdirSync(path.dirname(path.join(root, file)), { recursive: true })
    fs.writeFileSync(path.join(root, file), '')
  }
  return root
}

describe('the files that a glob names', () => {
  for (const [glob, files] of [
    ['a.tif', ['a.tif']],
    ['./a.tif', ['a.tif']],
    ['*.tif', ['a.tif', 'b.tif']],
    ['{a,c}.*', ['a.tif', 'c.txt']],
    ['maps/*.tif', ['maps/d.tif']],
    ['maps/**', ['maps/d.tif', 'maps/deep/e.tif']],
    ['**/*.tif', ['a.tif', 'b.tif', 'maps/d.tif', 'maps/deep/e.tif']],
    ['maps', []],
    ['none/*', []],
    ['none', []]
  ] as const) {
    it(`${glob}: ${files.length}`, async (t) => {
      assert.deepEqual(await matchingFiles(glob, { root: tree(t), dotfiles: 'deny' }), files)
    })
  }

  it('with dotfiles, where they are allowed', async (t) => {
    const found = await matchingFiles('**/*.tif', { root: tree(t), dotfiles: 'allow' })
    assert.equal(found.length, 6)
  })

  it('behind links, that may lead in a circle', async (t) => {
    const root = tree(t)
    fs.symlinkSync('maps', path.join(root, 'link'))
    fs.symlinkSync('..', path.join(root, 'maps/up'))
    fs.symlinkSync('nowhere', path.join(root, 'broken.tif'))
    const found = await matchingFiles('link/*.tif', { root, dotfiles: 'deny' })
    assert.deepEqual(found, ['link/d.tif'])
    const all = await matchingFiles('**/e.tif', { root, dotfiles: 'deny' })
    assert.deepEqual(all, ['link/deep/e.tif', 'maps/deep/e.tif'])
  })
})

import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { type FolderOptions, isFolder, readFolder } from '#src/storage/folder.ts'
import { PoolShare } from '#src/storage/thread-pool.ts'
import { tempFolder } from '../../support/serve.ts'

function optionsFor(root: string, own: Partial<FolderOptions> = {}): FolderOptions {
  return {
    root,
    symlinks: 'within',
    dotfiles: 'deny',
    share: new PoolShare({ what: 'opens', maxRunning: 2, maxWaiting: 10 }),
    maxNames: 300,
    signal: new AbortController().signal,
    ...own
  }
}

function openDescriptors(): number {
  return fs.readdirSync('/proc/self/fd').length
}

describe('a folder', () => {
  it('of more names than are listed is not listed in part', async (t) => {
    const root = tempFolder(t)
    for (let i = 0; i < 300; i++) fs.writeFileSync(path.join(root, `${i % 2 ? '.' : ''}${i}`), '')
    assert.equal((await readFolder('', optionsFor(root)))?.length, 150)
    fs.writeFileSync(path.join(root, 'one-more'), '')
    assert.equal(await readFolder('', optionsFor(root)), undefined)
  })

  it('is left when nobody waits for it, and leaves no descriptor open', async (t) => {
    const root = tempFolder(t)
    for (let i = 0; i < 290; i++) fs.writeFileSync(path.join(root, `${i}`), '')
    const before = openDescriptors()
    const abort = new AbortController()
    const reading = readFolder('', optionsFor(root, { signal: abort.signal }))
    abort.abort(new Error('the client is gone'))
    await assert.rejects(reading, /the client is gone/)
    const late = new AbortController()
    const later = readFolder('', optionsFor(root, { signal: late.signal }))
    setTimeout(() => late.abort(new Error('gone')), 1)
    await later.catch((error: unknown) => assert.match(String(error), /gone/))
    await readFolder('', optionsFor(root))
    await assert.rejects(readFolder('1', optionsFor(root)), { code: 'NOT_FOUND' })
    assert.equal(openDescriptors(), before)
  })

  it('behind a link is one while the target stays below the root', async (t) => {
    const root = tempFolder(t)
    for (const folder of ['a', '.hidden']) fs.mkdirSync(path.join(root, folder))
    for (const [name, target] of Object.entries({ in: 'a', up: '/', self: '.', dot: '.hidden' })) {
      fs.symlinkSync(target, path.join(root, name))
    }
    const listed = await readFolder('', optionsFor(root))
    assert.deepEqual(
      listed?.map(({ name }) => name),
      ['a', 'in', 'self']
    )
    for (const name of ['a', 'in', 'self', 'up', 'dot', 'none']) {
      const isListed = listed?.some((entry) => entry.name === name)
      assert.equal(await isFolder(name, optionsFor(root)), isListed, name)
      assert.equal(await isFolder(name, optionsFor(root, { symlinks: 'deny' })), name === 'a', name)
    }
    assert.ok(await isFolder('dot', optionsFor(root, { dotfiles: 'allow' })))
  })
})

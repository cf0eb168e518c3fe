/** Names that are not in memory: nothing waits for them on the event loop. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { CachedOpener } from '#src/storage/cached-opener.ts'
import { isLocalFileSystem } from '#src/storage/file-system.ts'
import { ChangeHistory } from '#src/storage/freshness.ts'
import { mountFaultFs, whyNoFaultFs } from '../support/fault-fs.ts'
import { get, makeOld, serve, tempFolder } from '../support/serve.ts'

describe('a file system that was mounted a moment ago', () => {
  it('is asked on the thread pool for each name that nobody has asked for', async (t) => {
    const folder = fs.realpathSync(tempFolder(t))
    const [image, root] = [path.join(folder, 'image'), path.join(folder, 'mounted')]
    const run = (program: string, ...words: string[]) => spawnSync(program, words).status === 0
    fs.writeFileSync(image, '')
    fs.truncateSync(image, 16 * 2 ** 20)
    fs.mkdirSync(root)
    const mount = () => run('mount', '-o', 'loop', image, root)
    if (!run('mkfs.ext4', '-q', '-F', image) || !mount()) {
      return t.skip('no ext4 can be mounted from a file here')
    }
    t.after(() => run('umount', '-l', root))
    fs.mkdirSync(path.join(root, 'sub'))
    for (const name of ['a', 'b']) fs.writeFileSync(path.join(root, 'sub', name), name)
    assert.ok(run('umount', root) && mount())
    const fd = fs.openSync(root, 'r')
    await isLocalFileSystem(fd)
    fs.closeSync(fd)
    const opener = new CachedOpener({
      root,
      symlinks: 'within',
      dotfiles: 'deny',
      history: new ChangeHistory(),
      whenRetired: () => {}
    })
    assert.equal(opener.open('sub/a'), undefined)
    fs.statSync(path.join(root, 'sub', 'a'))
    const file = opener.open('sub/a')
    assert.equal(file?.size, 1)
    file?.release()
    // its folder is in memory now, and it is not
    assert.equal(opener.open('sub/b'), undefined)
    assert.equal(opener.open('sub/none'), undefined)
  })
})

describe('look-ups that take 100 ms, below a root on a disk', {
  skip: whyNoFaultFs() ?? false
}, () => {
  it('while 100 wait for them, files of the disk are opened and answered', async (t) => {
    const slow = await mountFaultFs(t, { metaMs: 100 }, (folder) => {
      for (let n = 0; n < 100; n++) fs.writeFileSync(path.join(folder, `slow-${n}`), `${n}`)
    })
    const root = path.dirname(slow)
    for (let n = 0; n < 50; n++) {
      fs.writeFileSync(path.join(root, `file-${n}`), `${n}`)
      makeOld(path.join(root, `file-${n}`))
    }
    const { url } = await serve(t, root, ['--log-level', 'info'])
    await get(`${url}file-0`)
    let ended = 0
    const others = Array.from({ length: 100 }, async (_, n) => {
      const { body } = await get(`${url}${path.basename(slow)}/slow-${n}`)
      assert.equal(body.toString(), `${n}`)
      ended++
    })
    await wait(30)
    for (let n = 1; n < 50; n++) {
      assert.equal((await get(`${url}file-${n}`)).body.toString(), `${n}`)
    }
    assert.equal(ended, 0, 'the others were faster: nothing is shown')
    await Promise.all(others)
  })
})

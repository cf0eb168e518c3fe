import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { describe, it, type TestContext } from 'node:test'
import { isLocalFileSystem, isLocalPath } from '#src/storage/file-system.ts'
import { uniqueMountId } from '#src/storage/native/stat.ts'
import { tempFolder } from '../../support/serve.ts'

describe('a file system', () => {
  it('is local by its kind', async (t) => {
    const folder = tempFolder(t)
    assert.equal(await isLocalPath('/proc/self'), false)
    assert.equal(await isLocalPath(folder), await isLocalFileSystem(opened(t, folder)))
    assert.equal(await isLocalFileSystem(opened(t, '/proc/self/status')), false)
    await assert.rejects(isLocalPath(`${folder}/missing`), { code: 'ENOENT' })
    await assert.rejects(isLocalFileSystem(1_000_000), { code: 'ENOENT' })
  })

  it('is not taken for an older one that had the same device number', async (t) => {
    const { folder, mount, unmount } = mountPoint(t)
    if (!mount('tmpfs')) return t.skip('it takes root to mount a file system')
    const oldDevice = fs.statSync(folder).dev
    const old = fs.openSync(folder, 'r')
    assert.equal(await isLocalFileSystem(old), true)
    fs.closeSync(old)
    unmount()
    // a kind without a local disk that any root may mount; the kernel gives out the lowest free device number
    if (!mount('devpts')) return t.skip('devpts cannot be mounted')
    if (fs.statSync(folder).dev !== oldDevice) return t.skip('the device number was not used again')
    assert.equal(await isLocalFileSystem(opened(t, folder)), false)
    return
  })

  it('is asked about once for each mount, where the kernel tells mounts apart', async (t) => {
    const fd = opened(t, tempFolder(t))
    // a number that no mount has yet: they count up
    const mount = 2n ** 63n
    const isLocal = await isLocalFileSystem(fd, () => mount)
    assert.equal(await isLocalFileSystem(1_000_000, () => mount), isLocal)
  })

  it('is asked about every time where it does not', async (t) => {
    const folder = tempFolder(t)
    const unknown = () => undefined
    const first = await isLocalFileSystem(opened(t, folder), unknown)
    assert.equal(first, await isLocalPath(folder))
    assert.equal(await isLocalFileSystem(opened(t, '/proc/self/status'), unknown), false)
    assert.equal(await isLocalFileSystem(opened(t, folder), unknown), first)
    await assert.rejects(isLocalFileSystem(1_000_000, unknown), { code: 'ENOENT' })
  })
})

describe('the number of a mount', () => {
  it('is the same for all its files, and another for another mount', (t) => {
    const folder = tempFolder(t)
    fs.writeFileSync(`${folder}/file`, '')
    const mount = uniqueMountId(opened(t, folder))
    if (mount === undefined) return t.skip('this kernel has no unique mount numbers')
    assert.equal(uniqueMountId(opened(t, `${folder}/file`)), mount)
    assert.notEqual(uniqueMountId(opened(t, '/proc/self/status')), mount)
    return
  })

  it('is unknown for a descriptor that is not open', () => {
    assert.equal(uniqueMountId(1_000_000), undefined)
  })
})

function opened(t: TestContext, path: string): number {
  const fd = fs.openSync(path, 'r')
  t.after(() => fs.closeSync(fd))
  return fd
}

/** A folder to mount file systems on. */
function mountPoint(t: TestContext) {
  let unmount = () => {}
  // before the folder's own end, which is told first and removes it
  t.after(() => unmount())
  const folder = tempFolder(t)
  const mount = (kind: string): boolean => {
    if (spawnSync('mount', ['-t', kind, 'none', folder]).status !== 0) return false
    unmount = () => {
      // lazily, because a descriptor may still be open
      spawnSync('umount', ['-l', folder])
      unmount = () => {}
    }
    return true
  }
  return { folder, mount, unmount: () => unmount() }
}

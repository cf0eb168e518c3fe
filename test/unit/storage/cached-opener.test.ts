/** Files that are opened on the event loop: which, how they are confined, and what is left of them. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { CachedOpener } from '#src/storage/cached-opener.ts'
import { Catalog } from '#src/storage/catalog.ts'
import { isLocalFileSystem } from '#src/storage/file-system.ts'
import { ChangeHistory } from '#src/storage/freshness.ts'
import { closeNow, findCached } from '#src/storage/native/open.ts'
import type { OpenFile, OpeningOptions } from '#src/storage/open-file.ts'
import { descriptors } from '../../support/kernel-view.ts'
import { tempFolder } from '../../support/serve.ts'

/** Why none of this can be seen here. */
const skip = (() => {
  const found = findCached('/')
  if (found < 0) return 'there is no openat2(2) with RESOLVE_CACHED'
  closeNow(found)
  return false
})()

describe('opening what is in memory', { skip }, () => {
  it('gives the file that the path names, with its generation, and nothing else stays open', async (t) => {
    const { open, root } = await openerOf(t, { 'sub/a': 'one', ü: 'two' })
    for (const [path, content] of Object.entries({ 'sub/a': 'one', ü: 'two' })) {
      const file = open(path) as OpenFile
      assert.equal(contentOf(file), content)
      const { dev, ino, size, mtimeNs } = fs.statSync(join(root, path), { bigint: true })
      assert.deepEqual(file.freshness.generation, { dev, ino, size, mtimeNs })
      assert.ok(file.freshness.isStillNamed() && file.freshness.hasSameContent())
      assert.equal(descriptors(root), 1)
      file.release()
      assert.equal(descriptors(root), 0, 'it is closed at once')
    }
  })

  it('leaves to the thread pool what is not there, or no regular file, or unreadable', async (t) => {
    const { open, root } = await openerOf(t, { 'sub/a': 'one' })
    execFileSync('mkfifo', [join(root, 'fifo')])
    const server = net.createServer().listen(join(root, 'socket'))
    t.after(() => server.close())
    await once(server, 'listening')
    for (const path of [
      'sub',
      'fifo',
      'socket',
      'none',
      'sub/a/b',
      'x'.repeat(300),
      'x/'.repeat(3000)
    ]) {
      assert.equal(open(path), undefined, path)
    }
    assert.equal(descriptors(root), 0)
    const machine = await openerOn(t, '/')
    for (const path of ['dev/zero', 'dev/ptmx', 'dev/tty', 'proc/version']) {
      assert.equal(machine(path), undefined, path)
    }
  })

  it('has no effect on a FIFO: who waits to write to it goes on waiting', async (t) => {
    const { open, root } = await openerOf(t, {})
    const fifo = join(root, 'fifo')
    execFileSync('mkfifo', [fifo])
    const writer = spawn('sh', ['-c', 'echo ready; echo x > "$0"; echo opened', fifo])
    t.after(() => writer.kill('SIGKILL'))
    let said = ''
    writer.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    await once(writer.stdout, 'data')
    await wait(20)
    assert.equal(open('fifo'), undefined)
    await wait(20)
    assert.equal(said, 'ready\n')
    // and it was waiting
    fs.readFileSync(fifo)
    await once(writer, 'exit')
    assert.equal(said, 'ready\nopened\n')
  })

  it('gives the file of now, however often it is replaced', async (t) => {
    const { open, root } = await openerOf(t, {})
    for (let version = 0; version < 50; version++) {
      fs.writeFileSync(join(root, 'new'), `${version}`)
      fs.renameSync(join(root, 'new'), join(root, 'a'))
      const file = open('a') as OpenFile
      assert.equal(contentOf(file), `${version}`)
      file.release()
    }
  })
})

describe('opening what is in memory: symbolic links', { skip }, () => {
  const links: readonly (readonly [
    name: string,
    target: string,
    path: string,
    isWithin: boolean
  ])[] = [
    ['to a file', 'sub/a', 'link', true],
    ['to a folder', 'sub', 'link/a', true],
    ['to a link', 'to-sub/a', 'link', true],
    ['around', 'sub/../sub/a', 'link', true],
    ['to a dotfile', '.secret', 'link', false],
    ['through a dotfile folder', '.git', 'link/a', false],
    ['as Kubernetes lays out a volume', '..data/a', 'link', true],
    ['out of the root', '../secret', 'link', false],
    ['out of the root by an absolute path', '{root}/../secret', 'link', false],
    ['to a folder outside', '../root-sibling', 'link/a', false],
    ['to a device', '/dev/zero', 'link', false],
    ['to what a process has open', '/proc/self/fd/0', 'link', false],
    ['to itself', 'link', 'link', false]
  ]
  for (const symlinks of ['within', 'deny'] as const) {
    for (const isRootLink of [false, true]) {
      const root = isRootLink ? 'a root that is a link' : 'a plain root'
      it(`are followed as far as they may be, with ${symlinks}, below ${root}`, async (t) => {
        const folder = linkedFolder(t)
        for (const [name, target, path, isWithin] of links) {
          const link = join(folder, 'root', 'link')
          fs.symlinkSync(target.replace('{root}', join(folder, 'root')), link)
          const open = await openerOn(t, join(folder, isRootLink ? 'current' : 'root'), {
            symlinks
          })
          markAsRead(link)
          await fs.promises
            .stat(join(folder, isRootLink ? 'current' : 'root', path))
            .catch(() => {})
          const file = open(path)
          if (isWithin && symlinks === 'within') {
            assert.equal(file && contentOf(file), 'inside', name)
          } else {
            assert.equal(file, undefined, name)
          }
          file?.release()
          assert.equal(descriptors(folder), 0, name)
          fs.rmSync(link)
        }
      })
    }
  }

  it('steps upwards are left to the thread pool', async (t) => {
    const open = await openerOn(t, join(linkedFolder(t), 'root'))
    for (const path of ['../secret', 'sub/../../secret', '..', 'sub/../sub/a']) {
      assert.equal(open(path), undefined, path)
    }
    const file = open('sub/a') as OpenFile
    file.release()
  })

  it('a root that is pointed elsewhere is the new one for the next file', async (t) => {
    const folder = tempFolder(t)
    for (const release of ['one', 'two']) {
      fs.mkdirSync(join(folder, release))
      fs.writeFileSync(join(folder, release, 'a'), release)
    }
    const root = join(folder, 'current')
    fs.symlinkSync('one', root)
    const open = await openerOn(t, root)
    for (let n = 0; n < 10; n++) {
      const release = n % 2 === 0 ? 'two' : 'one'
      fs.symlinkSync(release, `${root}.new`)
      fs.renameSync(`${root}.new`, root)
      markAsRead(root)
      const file = open('a') as OpenFile
      assert.equal(contentOf(file), release)
      file.release()
    }
  })
})

/** Following a link may change its time of access, which may wait: not if that is later than its other times. */
function markAsRead(link: string): void {
  const now = Date.now() / 1000
  fs.lutimesSync(link, now + 60, now - 60)
}

describe('catalog: small files that are seen for the first time', { skip }, () => {
  it('are opened at once and closed afterwards; asked for again, they are kept', async (t) => {
    const { catalog, root } = await catalogWith(t, { a: 'one' }, 100)
    const first = catalog.tryOpen('a') as OpenFile
    assert.equal(contentOf(first), 'one')
    first.release()
    assert.deepEqual([catalog.size, descriptors(root)], [0, 0])
    const second = catalog.tryOpen('a') as OpenFile
    second.release()
    assert.deepEqual([catalog.size, descriptors(root)], [1, 1])
    const third = catalog.tryOpen('a')
    assert.equal(third, second)
    third?.release()
  })

  it('are kept if they are not small', async (t) => {
    const { catalog, root } = await catalogWith(t, { a: 'one' }, 2)
    const file = catalog.tryOpen('a') as OpenFile
    file.release()
    assert.equal(catalog.tryOpen('a'), file)
    file.release()
    assert.deepEqual([catalog.size, descriptors(root)], [1, 1])
  })

  it('stay open for who still uses them, and may be kept later', async (t) => {
    const { catalog, root } = await catalogWith(t, { a: 'one' }, 100)
    const file = catalog.tryOpen('a') as OpenFile
    catalog.keep(file)
    catalog.keep(file)
    file.release()
    assert.equal(await catalog.open('a'), file)
    fs.rmSync(join(root, 'a'))
    assert.equal(catalog.tryOpen('a'), undefined)
    assert.equal(contentOf(file), 'one')
    file.release()
  })

  it('leave nothing open, however many there are, and no more are kept than may be', async (t) => {
    const names = Array.from({ length: 400 }, (_, n) => `${n % 7}/${n}`)
    const { catalog, root } = await catalogWith(
      t,
      Object.fromEntries(names.map((name) => [name, name])),
      100
    )
    for (let round = 0; round < 3; round++) {
      for (const name of names) {
        const file = catalog.tryOpen(name) as OpenFile
        assert.equal(contentOf(file), name)
        file.release()
        assert.ok(descriptors(root) <= 5)
      }
    }
    assert.ok(catalog.size <= 5)
  })
})

async function catalogWith(
  t: TestContext,
  contents: Readonly<Record<string, string>>,
  smallFileBytes: number
): Promise<{ catalog: Catalog; root: string }> {
  const { root } = await openerOf(t, contents)
  const catalog = await Catalog.open({
    root,
    symlinks: 'within',
    dotfiles: 'deny',
    maxOpenFiles: 5,
    maxWaiting: 100,
    smallFileBytes,
    revalidateMs: 0,
    whenRetired: () => {}
  })
  t.after(() => catalog.close())
  return { catalog, root }
}

/** A root with files in it. */
async function openerOf(t: TestContext, contents: Readonly<Record<string, string>>) {
  const root = fs.realpathSync(tempFolder(t))
  for (const [path, content] of Object.entries(contents)) {
    fs.mkdirSync(join(root, path, '..'), { recursive: true })
    fs.writeFileSync(join(root, path), content)
  }
  return { root, open: await openerOn(t, root) }
}

async function openerOn(
  t: TestContext,
  root: string,
  options: Partial<OpeningOptions> = {}
): Promise<(path: string) => OpenFile | undefined> {
  // as the first file that is opened on the thread pool makes it known
  const fd = fs.openSync(root, 'r')
  if (!(await isLocalFileSystem(fd))) t.skip('not on a local file system')
  fs.closeSync(fd)
  const opener = new CachedOpener({
    root,
    symlinks: 'within',
    dotfiles: 'deny',
    history: new ChangeHistory(),
    whenRetired: () => {},
    ...options
  })
  return (path) => opener.open(path)
}

/** A root, a link to it, and things beside it. */
function linkedFolder(t: TestContext): string {
  const folder = fs.realpathSync(tempFolder(t))
  const write = (path: string, content: string) => {
    fs.mkdirSync(join(folder, path, '..'), { recursive: true })
    fs.writeFileSync(join(folder, path), content)
  }
  write('root/sub/a', 'inside')
  write('root/..2026/a', 'inside')
  write('root/.secret', 'hidden')
  write('root/.git/a', 'hidden')
  write('secret', 'outside')
  write('root-sibling/a', 'outside')
  fs.symlinkSync('..2026', join(folder, 'root', '..data'))
  fs.symlinkSync('sub', join(folder, 'root', 'to-sub'))
  fs.symlinkSync('root', join(folder, 'current'))
  for (const link of ['root/..data', 'root/to-sub', 'current']) markAsRead(join(folder, link))
  return folder
}

function contentOf(file: OpenFile): string {
  const bytes = Buffer.alloc(file.size)
  fs.readSync(file.fd, bytes, 0, file.size, 0)
  return bytes.toString()
}

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { after, describe, it, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Catalog, type CatalogOptions } from '#src/storage/catalog.ts'
import type { OpenFile } from '#src/storage/open-file.ts'
import { openStorage } from '#src/storage/storage.ts'
import { descriptors, mappedBytes } from '../../support/kernel-view.ts'
import { tempFolder, until } from '../../support/serve.ts'

const notFound = { code: 'NOT_FOUND' }

describe('catalog: open files', () => {
  it('are the same one for the next request, found without waiting', async (t) => {
    const { catalog, root } = await folderWith(t, { a: 'one' })
    assert.equal(catalog.known('a'), undefined)
    const first = await catalog.open('a')
    assert.equal(first.size, 3)
    assert.equal(first.path, 'a')
    assert.equal(catalog.known('a'), first)
    const second = await catalog.open('a')
    assert.equal(second, first)
    assert.equal(descriptors(root), 1)
    release(first, second)
  })

  it('are opened once for all who ask at the same time', async (t) => {
    const { catalog, root } = await folderWith(t, { a: 'one' })
    const files = await Promise.all(Array.from({ length: 50 }, () => catalog.open('a')))
    assert.equal(new Set(files).size, 1)
    assert.equal(descriptors(root), 1)
    release(...files)
    assert.equal(catalog.known('a'), files[0])
  })

  it('are told to be missing to all who ask at the same time', async (t) => {
    const { catalog } = await folderWith(t, {})
    const answers = await Promise.allSettled(Array.from({ length: 50 }, () => catalog.open('a')))
    for (const answer of answers) {
      assert.equal(answer.status === 'rejected' && answer.reason.code, 'NOT_FOUND')
    }
  })

  it('that nobody waits for any more are not remembered', async (t) => {
    const { catalog } = await folderWith(t, { a: 'one' })
    for (const path of ['a', 'none']) {
      const abort = new AbortController()
      const opening = catalog.open(path, abort.signal)
      abort.abort(new Error('gone'))
      await assert.rejects(opening, { message: 'gone' })
      await until('it is forgotten', () => catalog.opening === 0)
    }
  })

  it('are bounded, and the least recently used one is closed', async (t) => {
    const names = Array.from({ length: 30 }, (_, index) => `file-${index}`)
    const contents = Object.fromEntries(names.map((name) => [name, name]))
    const { catalog, root } = await folderWith(t, contents, { maxOpenFiles: 5 })
    for (const name of names.slice(0, 5)) release(await catalog.open(name))
    release(await catalog.open('file-0'))
    release(await catalog.open('file-5'))
    assert.equal(catalog.size, 5)
    assert.equal(catalog.known('file-1'), undefined)
    assert.ok(catalog.known('file-0'))
    for (const name of names) release(await catalog.open(name))
    assert.equal(catalog.size, 5)
    await until('only five descriptors are left', () => descriptors(root) === 5)
  })

  it('that are let go stay open for those who still use them', async (t) => {
    const { catalog, root } = await folderWith(t, { a: 'one', b: 'two' }, { maxOpenFiles: 1 })
    const a = await catalog.open('a')
    release(await catalog.open('b'))
    assert.equal(catalog.known('a'), undefined)
    assert.equal(contentOf(a), 'one')
    assert.equal(descriptors(root), 2)
    release(a)
    await until('a is closed', () => descriptors(root) === 1)
    assert.throws(() => a.release(), { name: 'AssertionError' })
    assert.equal(a.tryRetain(), false)
  })

  it('are told to their owner once when they are let go, and all closed at the end', async (t) => {
    const retired: string[] = []
    const { catalog, root } = await folderWith(
      t,
      { a: 'one', b: 'two', c: 'three' },
      { maxOpenFiles: 2, whenRetired: (file) => retired.push(file.path) }
    )
    for (const name of ['a', 'b', 'c']) release(await catalog.open(name))
    assert.deepEqual(retired, ['a'])
    catalog.close()
    assert.deepEqual(retired.sort(), ['a', 'b', 'c'])
    await until('all are closed', () => descriptors(root) === 0)
  })
})

describe('catalog: the next request', () => {
  const changes: Record<string, (path: string) => void> = {
    'was rewritten in place': (path) => fs.writeFileSync(path, 'other'),
    'was rewritten in place with the same size': (path) => {
      fs.writeFileSync(path, 'two')
      // a clock tick of the kernel may not have passed since it was made
      const later = new Date(Date.now() + 5000)
      fs.utimesSync(path, later, later)
    },
    'has become longer': (path) => fs.appendFileSync(path, ' and more'),
    'has become shorter': (path) => fs.truncateSync(path, 1),
    'was replaced by rename': (path) => {
      fs.writeFileSync(`${path}.new`, 'two')
      fs.renameSync(`${path}.new`, path)
    }
  }
  for (const [name, change] of Object.entries(changes)) {
    it(`sees that a file ${name}`, async (t) => {
      const { catalog, root } = await folderWith(t, { a: 'one' })
      const before = await catalog.open('a')
      change(join(root, 'a'))
      assert.equal(catalog.known('a'), undefined)
      const now = await catalog.open('a')
      assert.notEqual(now, before)
      assert.equal(contentOf(now), fs.readFileSync(join(root, 'a'), 'utf8'))
      release(before, now)
    })

    it(`sees it on the thread pool, where the file system may be slow: ${name}`, async (t) => {
      const { catalog, root } = await folderWith(t, { a: 'one' })
      const before = await catalog.open('a')
      Object.defineProperty(before.freshness, 'isLocal', { value: false })
      assert.equal(catalog.known('a'), undefined, 'it must not be asked about at once')
      const same = await catalog.open('a')
      assert.equal(same, before)
      change(join(root, 'a'))
      const now = await catalog.open('a')
      assert.notEqual(now, before)
      assert.equal(contentOf(now), fs.readFileSync(join(root, 'a'), 'utf8'))
      release(before, same, now)
    })
  }

  it('sees that a file was deleted, and that it is there again', async (t) => {
    const { catalog, root } = await folderWith(t, { a: 'one' })
    release(await catalog.open('a'))
    fs.rmSync(join(root, 'a'))
    assert.equal(catalog.known('a'), undefined)
    await assert.rejects(catalog.open('a'), notFound)
    await until('it is closed', () => descriptors(root) === 0)
    fs.writeFileSync(join(root, 'a'), 'again')
    const file = await catalog.open('a')
    assert.equal(contentOf(file), 'again')
    release(file)
  })

  it('sees that a file has become something else', async (t) => {
    const { catalog, root } = await folderWith(t, { a: 'one' })
    release(await catalog.open('a'))
    fs.rmSync(join(root, 'a'))
    execFileSync('mkfifo', [join(root, 'a')])
    assert.equal(catalog.known('a'), undefined)
    await assert.rejects(catalog.open('a'), notFound)
  })

  it('never gets an older content than there was when it came, though it joins an opening', async (t) => {
    const { catalog, root } = await folderWith(t, { a: '0' })
    for (let version = 1; version <= 300; version++) {
      fs.writeFileSync(join(root, 'new'), `${version}`)
      const begun = catalog.open('a')
      // the opening is somewhere on its way when the file is replaced
      for (let turn = 0; turn < version % 6; turn++) await nextTurn()
      fs.renameSync(join(root, 'new'), join(root, 'a'))
      const joined = await catalog.open('a')
      assert.equal(contentOf(joined), `${version}`)
      release(joined, await begun)
    }
    await until('nothing older is kept open', () => descriptors(root) === 1)
  })

  it('trusts what was seen for as long as revalidateMs says', async (t) => {
    const { catalog, root } = await folderWith(t, { a: 'one' }, { revalidateMs: 3_600_000 })
    const before = await catalog.open('a')
    fs.writeFileSync(join(root, 'a'), 'other')
    assert.equal(catalog.known('a'), before)
    const trusted = await catalog.open('a')
    assert.equal(trusted, before)
    const now = performance.now()
    t.mock.method(performance, 'now', () => now + 3_600_000)
    assert.equal(catalog.known('a'), undefined)
    const other = await catalog.open('a')
    assert.equal(contentOf(other), 'other')
    release(before, trusted, other)
  })
})

describe('catalog: what is not a regular file', () => {
  it('is not found, at once: folder, FIFO, socket, device, nothing', async (t) => {
    const { catalog, root } = await folderWith(t, { 'sub/a': 'one' })
    execFileSync('mkfifo', [join(root, 'fifo')])
    const server = net.createServer().listen(join(root, 'socket'))
    t.after(() => server.close())
    await new Promise((resolve) => server.once('listening', resolve))
    for (const path of [
      'sub',
      'fifo',
      'socket',
      'missing',
      'sub/a/below-a-file',
      'x'.repeat(300)
    ]) {
      await assert.rejects(catalog.open(path), notFound, path)
    }
    assert.equal(descriptors(root), 0)
  })

  it('is not found though the root is that of the machine, where devices are', async (t) => {
    const link = join(tempFolder(t), 'zero')
    fs.symlinkSync('/dev/zero', link)
    const file = join(tempFolder(t), 'file')
    fs.writeFileSync(file, 'found')
    const catalog = await catalogOf(t, '/')
    for (const path of ['dev/zero', 'dev/null', 'dev/ptmx', 'dev/tty', link.slice(1)]) {
      await assert.rejects(catalog.open(path), notFound, path)
    }
    const found = await catalog.open(file.slice(1))
    assert.equal(contentOf(found), 'found')
    release(found)
  })
})

describe('catalog: symbolic links', () => {
  const links: readonly { name: string; target: string; path?: string; isWithin: boolean }[] = [
    { name: 'to a file', target: 'sub/a', isWithin: true },
    { name: 'to a file by its absolute path', target: '{root}/sub/a', isWithin: true },
    { name: 'out and in again', target: '../root/sub/a', isWithin: true },
    { name: 'to a folder, in the middle', target: 'sub', path: 'link/a', isWithin: true },
    { name: 'to a link', target: 'to-sub/a', isWithin: true },
    { name: 'out of the root', target: '../secret', isWithin: false },
    { name: 'out of the root by an absolute path', target: '{root}/../secret', isWithin: false },
    { name: 'to a folder outside', target: '../root-sibling', path: 'link/a', isWithin: false },
    {
      name: 'to a folder whose name begins as the root',
      target: '../root-sibling/a',
      isWithin: false
    },
    { name: 'to a link out of the root', target: 'to-secret', isWithin: false },
    { name: 'to itself', target: 'link', isWithin: false },
    { name: 'to nothing', target: 'missing', isWithin: false }
  ]
  for (const symlinks of ['within', 'deny'] as const) {
    for (const { name, target, path = 'link', isWithin } of links) {
      const isFound = isWithin && symlinks === 'within'
      it(`are ${isFound ? 'followed' : 'not found'} with ${symlinks}: ${name}`, async (t) => {
        const root = linkedFolder(t)
        fs.symlinkSync(target.replace('{root}', root), join(root, 'link'))
        const catalog = await catalogOf(t, root, { symlinks })
        if (isFound) {
          const file = await catalog.open(path)
          assert.equal(contentOf(file), 'inside')
          release(file)
        } else {
          await assert.rejects(catalog.open(path), notFound)
          assert.equal(catalog.known(path), undefined)
        }
        await until(
          'no refused file stays open',
          () => descriptors(join(root, '..')) === catalog.size
        )
      })
    }

    it(`may be the root itself with ${symlinks}, and be pointed elsewhere`, async (t) => {
      const folder = tempFolder(t)
      for (const release of ['one', 'two']) {
        fs.mkdirSync(join(folder, release))
        fs.writeFileSync(join(folder, release, 'a'), release)
      }
      const root = join(folder, 'current')
      fs.symlinkSync('one', root)
      const catalog = await catalogOf(t, root, { symlinks })
      const before = await catalog.open('a')
      assert.equal(contentOf(before), 'one')
      fs.symlinkSync('two', `${root}.new`)
      fs.renameSync(`${root}.new`, root)
      assert.equal(catalog.known('a'), undefined)
      const now = await catalog.open('a')
      assert.equal(contentOf(now), 'two')
      assert.equal(contentOf(before), 'one')
      release(before, now)
    })
  }

  it('that are pointed out of the root are not found by the next request', async (t) => {
    const root = linkedFolder(t)
    fs.symlinkSync('sub/a', join(root, 'link'))
    const catalog = await catalogOf(t, root)
    release(await catalog.open('link'))
    fs.symlinkSync('../secret', join(root, 'link.new'))
    fs.renameSync(join(root, 'link.new'), join(root, 'link'))
    assert.equal(catalog.known('link'), undefined)
    await assert.rejects(catalog.open('link'), notFound)
  })
})

describe('catalog: without descriptors', () => {
  it('closes what is merely kept, then says EXHAUSTED, and recovers', (t) => {
    const words = ['-c', 'ulimit -n 64 && exec "$@"', 'sh', process.execPath]
    const program = join(__dirname, 'few-descriptors-child.js')
    const answer = execFileSync('sh', [...words, program, tempFolder(t)], {
      encoding: 'utf8',
      timeout: 20_000
    })
    const { held, ...rest } = JSON.parse(answer) as { held: number }
    assert.deepEqual(rest, {
      opened: 200,
      code: 'EXHAUSTED',
      reason: 'EMFILE',
      readableWhileFull: true,
      recovered: 200
    })
    assert.ok(held > 20 && held < 64, `${held} files could be held`)
  })
})

// Side by side, because each waits for the sweep.
describe('catalog: the sweep', { concurrency: true }, () => {
  const undo: (() => void)[] = []
  after(() => {
    for (const step of undo) step()
  })
  for (const isLocal of [true, false]) {
    for (const [name, change] of Object.entries({
      deleted: (path: string) => fs.rmSync(path),
      replaced: (path: string) => {
        fs.writeFileSync(`${path}.new`, 'other')
        fs.renameSync(`${path}.new`, path)
      }
    })) {
      const where = isLocal ? 'on a local file system' : 'asked on the thread pool'
      it(`lets go of a ${name} file though nobody asks for it, ${where}`, async (t) => {
        const root = tempFolder(t)
        const path = join(root, 'a')
        fs.writeFileSync(path, Buffer.alloc(100_000, 1))
        fs.writeFileSync(join(root, 'b'), 'stays')
        const { catalog, regions, close } = await openStorage({
          root,
          mode: 'mmap',
          isGuarded: true,
          windowBytes: 2 ** 20,
          regionBytes: 2 ** 16,
          maxMappedBytes: 2 ** 30,
          maxOpenFiles: 10,
          maxWaitingReads: 1000,
          maxBufferedBytes: 2 ** 26,
          revalidateMs: 3_600_000,
          symlinks: 'within',
          dotfiles: 'allow'
        })
        undo.push(close)
        const file = await catalog.open('a')
        Object.defineProperty(file.freshness, 'isLocal', { value: isLocal })
        regions.at(file.regions, 0)
        regions.at(file.regions, 2 ** 16)
        release(file, await catalog.open('b'))
        assert.ok(mappedBytes(path) > 0 && descriptors(path) === 1)
        change(path)
        await until('mapping and descriptor are gone', () => {
          return mappedBytes(path) === 0 && descriptors(path) === 0
        })
        assert.equal(regions.count, 0)
        assert.equal(catalog.size, 1)
        assert.ok(catalog.known('b'))
      })
    }
  }
})

async function folderWith(
  t: TestContext,
  contents: Readonly<Record<string, string>>,
  options: Partial<CatalogOptions> = {}
): Promise<{ catalog: Catalog; root: string }> {
  const root = tempFolder(t)
  for (const [path, content] of Object.entries(contents)) {
    fs.mkdirSync(join(root, path, '..'), { recursive: true })
    fs.writeFileSync(join(root, path), content)
  }
  return { catalog: await catalogOf(t, root, options), root }
}

async function catalogOf(
  t: TestContext,
  root: string,
  options: Partial<CatalogOptions> = {}
): Promise<Catalog> {
  const catalog = await Catalog.open({
    root,
    symlinks: 'within',
    dotfiles: 'allow',
    maxOpenFiles: 100,
    maxWaiting: 1000,
    smallFileBytes: 0,
    revalidateMs: 0,
    whenRetired: () => {},
    ...options
  })
  t.after(() => catalog.close())
  return catalog
}

/** A root with a file in a folder, links to that folder and out of the root, and things beside it. */
function linkedFolder(t: TestContext): string {
  const folder = tempFolder(t)
  const root = join(folder, 'root')
  fs.mkdirSync(join(root, 'sub'), { recursive: true })
  fs.mkdirSync(join(folder, 'root-sibling'))
  fs.writeFileSync(join(root, 'sub', 'a'), 'inside')
  fs.writeFileSync(join(folder, 'secret'), 'outside')
  fs.writeFileSync(join(folder, 'root-sibling', 'a'), 'outside')
  fs.symlinkSync('sub', join(root, 'to-sub'))
  fs.symlinkSync('../secret', join(root, 'to-secret'))
  return root
}

function contentOf(file: OpenFile): string {
  const bytes = Buffer.alloc(file.size)
  fs.readSync(file.fd, bytes, 0, file.size, 0)
  return bytes.toString()
}

function release(...files: readonly OpenFile[]): void {
  for (const file of files) file.release()
}

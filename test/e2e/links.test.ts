/** Symbolic links: a root that is pointed elsewhere while it is served, and the names of what links lead to. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { contentOf } from '../support/contents.ts'
import { RawClient } from '../support/raw-client.ts'
import { get, serve, tempFolder } from '../support/serve.ts'

describe('a root that is a link, switched 100 times a second between two releases', () => {
  it('no file that both releases have is ever not found, and each answer is of one', {
    timeout: 30_000
  }, async (t) => {
    const folder = tempFolder(t)
    const sizes = [50_000, 60_000] as const
    for (const [version, size] of sizes.entries()) {
      fs.mkdirSync(join(folder, `release-${version}`, 'deep'), { recursive: true })
      for (const file of ['file', 'deep/file']) {
        const path = join(folder, `release-${version}`, file)
        fs.writeFileSync(path, contentOf(version, 0, size))
        fs.utimesSync(path, 1_700_000_000 + version, 1_700_000_000 + version)
      }
    }
    const root = join(folder, 'current')
    fs.symlinkSync('release-0', root)
    const server = await serve(t, root, ['--log-level', 'info'])
    let switches = 0
    const switcher = setInterval(() => {
      switches++
      fs.symlinkSync(`release-${switches % 2}`, `${root}.new`)
      fs.renameSync(`${root}.new`, root)
    }, 10)
    t.after(() => clearInterval(switcher))
    const statuses = new Map<number, number>()
    const endMs = performance.now() + 2000
    const readers = Array.from({ length: 8 }, async (_, n) => {
      const client = RawClient.connect(t, server.origin)
      while (performance.now() < endMs) {
        client.get(`/files/${n % 2 === 0 ? 'file' : 'deep/file'}`)
        const answer = await client.answer()
        assert.ok(answer?.isComplete, 'cut')
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
        if (answer.status !== 200) continue
        const version = answer.contentLength === sizes[0] ? 0 : 1
        assert.ok(answer.body.equals(contentOf(version, 0, sizes[version])))
      }
    })
    await Promise.all(readers)
    t.diagnostic(`${switches} switches, ${JSON.stringify(Object.fromEntries(statuses))}`)
    assert.ok(switches > 20)
    assert.deepEqual([...statuses.keys()], [200])
    // and when it is at rest, what it names now
    clearInterval(switcher)
    await wait(20)
    const { body } = await get(`${server.url}file`)
    assert.ok(body.equals(contentOf(switches % 2, 0, sizes[switches % 2] as number)))
  })
})

describe('the dotfile rule is about what a link leads to', () => {
  /** A folder with links to dotfiles, and one as Kubernetes lays out a volume. */
  function fill(root: string): void {
    const write = (name: string) => fs.writeFileSync(join(root, name), name)
    write('.secret')
    write('plain.txt')
    for (const folder of ['.git', '.git/objects', 'open', 'open/.hidden', '..2026_11_25']) {
      fs.mkdirSync(join(root, folder))
    }
    for (const name of ['.git/config', '.git/objects/x', 'open/.hidden/x', '..2026_11_25/file']) {
      write(name)
    }
    const links = {
      'pub.txt': '.secret',
      'absolute.txt': join(root, '.secret'),
      'config.txt': '.git/config',
      repository: '.git',
      'open/x': '.hidden/x',
      'twice.txt': 'pub.txt',
      'open/up.txt': '../.secret',
      'plain-link.txt': './plain.txt',
      'around.txt': 'open/../plain.txt',
      '..data': '..2026_11_25',
      file: '..data/file'
    }
    for (const [name, target] of Object.entries(links)) fs.symlinkSync(target, join(root, name))
  }

  const secret = {
    'pub.txt': '.secret',
    'absolute.txt': '.secret',
    'config.txt': '.git/config',
    'repository/config': '.git/config',
    'repository/objects/x': '.git/objects/x',
    'open/x': 'open/.hidden/x',
    'twice.txt': '.secret',
    'open/up.txt': '.secret'
  }
  const harmless = {
    'plain.txt': 'plain.txt',
    'plain-link.txt': 'plain.txt',
    'around.txt': 'plain.txt',
    // the two dots of a Kubernetes volume, behind a link
    file: '..2026_11_25/file'
  }
  const hidden = ['.secret', '.git/config', '..data/file', '..2026_11_25/file']

  it('--dotfiles deny: 404 for links to dotfiles, 200 for those of a Kubernetes volume', async (t) => {
    const root = tempFolder(t)
    fill(root)
    const { url } = await serve(t, root, ['--dotfiles', 'deny'])
    const served: string[] = []
    for (const path of [...Object.keys(secret), ...hidden]) {
      // the second request finds what the first has opened
      for (let times = 0; times < 2; times++) {
        const { status } = await get(url + path)
        if (status !== 404) served.push(`${path}: ${status}`)
      }
    }
    for (const [path, content] of Object.entries(harmless)) {
      const { status, body } = await get(url + path)
      assert.equal(status, 200, path)
      assert.equal(body.toString(), content)
    }
    assert.deepEqual(served, [])
  })

  it('--dotfiles deny: a link that is pointed at a dotfile later is not followed either', async (t) => {
    const root = tempFolder(t)
    fill(root)
    const { url } = await serve(t, root, ['--dotfiles', 'deny'])
    assert.equal((await get(`${url}plain-link.txt`)).status, 200)
    fs.symlinkSync('.secret', join(root, 'new-link'))
    fs.renameSync(join(root, 'new-link'), join(root, 'plain-link.txt'))
    assert.equal((await get(`${url}plain-link.txt`)).status, 404)
  })

  it('--dotfiles deny: a volume that is updated as Kubernetes does it is served on', async (t) => {
    const root = tempFolder(t)
    fill(root)
    const { url } = await serve(t, root, ['--dotfiles', 'deny'])
    assert.equal((await get(`${url}file`)).status, 200)
    fs.mkdirSync(join(root, '..2026_11_26'))
    fs.writeFileSync(join(root, '..2026_11_26', 'file'), 'the next day')
    fs.symlinkSync('..2026_11_26', join(root, '..data_tmp'))
    fs.renameSync(join(root, '..data_tmp'), join(root, '..data'))
    const { status, body } = await get(`${url}file`)
    assert.deepEqual([status, body.toString()], [200, 'the next day'])
  })

  it('--dotfiles allow: all are served', async (t) => {
    const root = tempFolder(t)
    fill(root)
    const { url } = await serve(t, root, ['--dotfiles', 'allow'])
    for (const [path, content] of Object.entries({
      ...secret,
      ...harmless,
      '.secret': '.secret'
    })) {
      const { status, body } = await get(url + path)
      assert.equal(status, 200, path)
      assert.equal(body.toString(), content)
    }
  })

  it('a root below a dotfile folder is served: the rule is about names below the root', async (t) => {
    const root = join(tempFolder(t), '.hidden', 'root')
    fs.mkdirSync(root, { recursive: true })
    fill(root)
    const { url } = await serve(t, root, ['--dotfiles', 'deny'])
    for (const path of Object.keys(harmless))
      assert.equal((await get(url + path)).status, 200, path)
  })
})

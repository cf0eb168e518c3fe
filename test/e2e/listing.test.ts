import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { projectFolder } from '../support/project.ts'
import { get, type Serving, serve, suiteLifetime, tempFolder } from '../support/serve.ts'

interface JsonEntry {
  readonly name: string
  readonly type: 'directory' | 'file'
  readonly size?: number
}

async function entriesOf(url: string): Promise<JsonEntry[]> {
  const { status, body } = await get(url, { headers: { accept: 'application/json' } })
  assert.equal(status, 200, url)
  return JSON.parse(body.toString())
}

async function namesOf(url: string): Promise<string[]> {
  return (await entriesOf(url)).map(({ name, type }) => (type === 'directory' ? `${name}/` : name))
}

function fill(root: string): void {
  const write = (name: string, text = name) => fs.writeFileSync(path.join(root, name), text)
  for (const folder of ['b', 'B', '.git', 'b/deep', 'odd & "é"', 'empty']) {
    fs.mkdirSync(path.join(root, folder))
  }
  for (const name of ['z.txt', 'a.txt', '.secret', 'b/one', 'b/deep/two', 'odd & "é"/x%2f.txt']) {
    write(name)
  }
  write('odd & "é"/new\nline<b>', 'odd')
  const links = {
    'link.txt': 'a.txt',
    'to-folder': 'b',
    'to-secret': '.secret',
    outside: '/etc/passwd',
    'outside-folder': '/etc',
    nowhere: 'missing',
    'b/root': '..'
  }
  for (const [name, target] of Object.entries(links)) fs.symlinkSync(target, path.join(root, name))
  execFileSync('mkfifo', [path.join(root, 'fifo')])
  // a name that is no UTF-8, and that no request can have
  fs.writeFileSync(Buffer.concat([Buffer.from(`${root}/bad`), Buffer.from([0xff, 0xfe])]), 'x')
}

describe('--index on', () => {
  const lifetime = suiteLifetime()
  const root = tempFolder(lifetime)
  fill(root)
  const served = new Map<string, Promise<Serving>>()
  /** One process for each set of options. */
  const serving = (...args: string[]) => {
    const key = args.join(' ')
    const found = served.get(key) ?? serve(lifetime, root, ['--index', 'on', ...args])
    served.set(key, found)
    return found
  }

  it('folders first, sorted; what would not be served is not there', async () => {
    const { url } = await serving()
    assert.deepEqual(await namesOf(url), [
      ...['B/', 'b/', 'empty/', 'odd & "é"/', 'to-folder/'],
      ...['a.txt', 'link.txt', 'z.txt']
    ])
    assert.deepEqual(await namesOf(`${url}b/`), ['deep/', 'root/', 'one'])
    assert.deepEqual(await namesOf(`${url}to-folder/deep/`), ['two'])
    assert.deepEqual(await namesOf(`${url}empty/`), [])
    const [one] = await entriesOf(`${url}b/deep/`)
    assert.equal(one?.size, fs.statSync(path.join(root, 'b/deep/two')).size)
  })

  it('all that is listed can be had, and nothing else can', async () => {
    for (const args of [
      [],
      ['--dotfiles', 'allow'],
      ['--symlinks', 'deny', '--fast-path', 'off']
    ]) {
      const { url } = await serving(...args)
      const listed = await namesOf(url)
      for (const name of listed) assert.equal((await get(url + encodeURI(name))).status, 200, name)
      const others = fs.readdirSync(root).filter((name) => {
        return !listed.includes(name) && !listed.includes(`${name}/`)
      })
      for (const name of others) {
        for (const form of [name, `${name}/`]) {
          assert.equal((await get(url + encodeURIComponent(form))).status, 404, form)
        }
      }
      const isListed = (name: string) => listed.includes(name)
      assert.equal(isListed('.secret') && isListed('to-secret'), args.includes('allow'))
      assert.equal(isListed('link.txt'), !args.includes('deny'))
    }
  })

  it('a folder without its slash leads to the one with it, a file with one is not found', async () => {
    const { url, origin } = await serving()
    for (const [target, location] of [
      ['b', '/files/b/'],
      ['b?x=1', '/files/b/?x=1'],
      ['odd%20&%20%22%C3%A9%22', '/files/odd%20%26%20%22%C3%A9%22/'],
      ['to-folder/root', '/files/to-folder/root/']
    ] as const) {
      const { status, headers } = await get(url + target)
      assert.deepEqual([status, headers.location], [301, location])
    }
    for (const target of ['/', '/files']) {
      const { status, headers } = await get(origin + target)
      assert.deepEqual([status, headers.location], [302, '/files/'])
    }
    for (const target of ['a.txt/', 'missing/', 'missing', 'b//', '.git/', 'outside-folder']) {
      assert.equal((await get(url + target)).status, 404, target)
    }
  })

  it('ETag and 304, HEAD, and the fields that browsers keep to', async () => {
    const { url } = await serving()
    const page = await get(url)
    const { etag, vary } = page.headers
    assert.match(String(etag), /^"[\w-]{43}"$/)
    assert.equal(page.headers['content-type'], 'text/html; charset=utf-8')
    assert.equal(Number(page.headers['content-length']), page.body.length)
    assert.equal(vary, 'Accept')
    assert.equal(page.headers['cache-control'], 'no-cache')
    assert.match(
      String(page.headers['content-security-policy']),
      /^default-src 'none'; style-src 'sha256-/
    )
    assert.equal(page.headers['access-control-allow-origin'], '*')
    const head = await get(url, { method: 'HEAD' })
    const { date: _1, ...fields } = page.headers
    const { date: _2, ...headFields } = head.headers
    assert.deepEqual(headFields, fields)
    assert.equal(head.body.length, 0)
    const again = await get(url, { headers: { 'if-none-match': String(etag) } })
    assert.deepEqual([again.status, again.body.length, again.headers.etag], [304, 0, etag])
    const json = await get(url, { headers: { accept: 'application/json' } })
    assert.notEqual(json.headers.etag, etag)
    fs.writeFileSync(path.join(root, 'a.txt'), 'longer than before')
    const changed = await get(url, { headers: { 'if-none-match': String(etag) } })
    assert.equal(changed.status, 200)
    assert.equal((await get(url, { method: 'POST' })).status, 405)
  })

  it('below the prefix /, and with origins that are named', async () => {
    const { url } = await serving(
      '--prefix',
      '/',
      '--cors-origin',
      'https://a.example,https://b.example'
    )
    const { status, headers, body } = await get(url, { headers: { origin: 'https://b.example' } })
    assert.equal(status, 200)
    assert.ok(body.includes('<a href="a.txt"'))
    assert.equal(headers['access-control-allow-origin'], 'https://b.example')
    assert.match(String(headers.vary), /Origin/)
    assert.match(String(headers.vary), /Accept/)
    assert.equal((await get(`${url}b`)).headers.location, '/b/')
    assert.equal((await get(`${url}healthz`)).status, 200)
  })

  it('wget -r, GDAL and rclone read it', async (t) => {
    const { url, origin } = await serving()
    const folder = tempFolder(t)
    const has = (program: string) => spawnSync(program, ['--version']).error === undefined
    if (has('wget')) {
      const words = [
        '-q',
        '-r',
        '-np',
        '-nH',
        '-l',
        '3',
        '-R',
        'index.html*',
        '-P',
        folder,
        `${url}b/deep/`
      ]
      execFileSync('wget', words)
      assert.equal(fs.readFileSync(path.join(folder, 'files/b/deep/two'), 'utf8'), 'b/deep/two')
    }
    if (has('rclone')) {
      const env = { ...process.env, RCLONE_CONFIG: path.join(folder, 'none.conf') }
      const words = ['lsf', '--http-url', `${origin}/files/odd%20&%20%22%C3%A9%22/`, ':http:']
      const names = execFileSync('rclone', words, { env, encoding: 'utf8', stdio: 'pipe' })
      assert.ok(names.includes('x%2f.txt'), names)
    }
    if (has('gdalinfo')) {
      const code = 'from osgeo import gdal'
      const words = ['-c', `${code}; print(gdal.ReadDir("/vsicurl/${url}b/"))`]
      const python = spawnSync('/usr/bin/python3', words, { encoding: 'utf8' })
      if (python.status === 0) assert.equal(python.stdout, "['deep', 'root', 'one']\n")
    }
  })
})

describe('--index', () => {
  it('is off for a folder of somebody, and on for the sample folder', async (t) => {
    const { url, origin } = await serve(t, tempFolder(t))
    for (const target of [url, origin, `${origin}/`]) assert.equal((await get(target)).status, 404)
    const sample = await serve(t, path.join(projectFolder, 'sample'))
    assert.equal((await get(`${sample.origin}/`)).headers.location, '/files/')
    assert.ok((await namesOf(sample.url)).includes('README.txt'))
  })

  it('50,000 names: complete and sorted, while others are answered', {
    timeout: 60_000
  }, async (t) => {
    const root = tempFolder(t)
    const file = path.join(root, 'hot')
    fs.writeFileSync(file, 'hot')
    const count = 50_000
    // names of one file, which are made sooner than files
    for (let i = 0; i < count; i++) fs.linkSync(file, path.join(root, `${(i * 7919) % count}.bin`))
    const { url, log } = await serve(t, root, ['--index', 'on'])
    let isListed = false
    let answered = 0
    const others = (async () => {
      while (!isListed) {
        assert.equal((await get(`${url}hot`)).body.toString(), 'hot')
        answered++
        await wait(5)
      }
    })()
    const entries = await entriesOf(url)
    isListed = true
    await others
    assert.equal(entries.length, count + 1)
    const names = entries.map(({ name }) => name)
    assert.deepEqual(names, [...names].sort())
    t.diagnostic(`${answered} others were answered meanwhile`)
    assert.ok(answered > 20, `${answered}`)
    assert.deepEqual(
      log.filter(({ level }) => Number(level) >= 50),
      []
    )
  })
})

/** Files that are asked for once each: the same answers in every way of opening, and nothing of them stays. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { contentOf, versionCount } from '../support/contents.ts'
import { descriptors, mappedBytes, memory } from '../support/kernel-view.ts'
import { metric } from '../support/metrics.ts'
import { projectFolder } from '../support/project.ts'
import { RawClient } from '../support/raw-client.ts'
import { get, makeOld, type Serving, serve, tempFolder } from '../support/serve.ts'

const { ENOSYS, EPERM } = constants.errno
const NR_OPENAT2 = 437
const MiB = 2 ** 20

for (const [name, errno] of Object.entries({
  'a kernel without openat2(2)': ENOSYS,
  'a filter that forbids openat2(2)': EPERM
})) {
  it(`${name}: files are served, and what must not be is not`, async (t) => {
    const root = tempFolder(t)
    const write = (path: string) => {
      fs.writeFileSync(join(root, path), path)
      makeOld(join(root, path))
    }
    for (const path of ['a', '.secret']) write(path)
    for (let n = 0; n < 20; n++) write(`file-${n}`)
    fs.symlinkSync('a', join(root, 'link'))
    fs.symlinkSync('.secret', join(root, 'to-secret'))
    fs.symlinkSync('/etc/hostname', join(root, 'to-outside'))
    const env = {
      NODE_OPTIONS: `--require ${join(projectFolder, 'dist', 'test', 'support', 'refuse-syscall.js')}`,
      REFUSED_SYSCALL: `${NR_OPENAT2}`,
      REFUSED_WITH: `${errno}`
    }
    const { url } = await serve(t, root, [], { env })
    for (let times = 0; times < 2; times++) {
      for (let n = 0; n < 20; n++) {
        const { status, body } = await get(`${url}file-${n}`)
        assert.deepEqual([status, body.toString()], [200, `file-${n}`])
      }
      assert.equal((await get(`${url}link`)).body.toString(), 'a')
      for (const path of ['to-secret', 'to-outside', 'none']) {
        assert.equal((await get(url + path)).status, 404)
      }
    }
  })
}

const fileCount = 1000
const fileBytes = 5000

for (const [mode, fastPath] of [
  ['mmap', 'on'],
  ['read', 'off']
] as const) {
  describe(`many files once each, ${mode}, --fast-path ${fastPath}`, () => {
    it('each with its bytes; descriptors, maps and memory are those of before', {
      timeout: 60_000
    }, async (t) => {
      const root = tempFolder(t)
      fill(root)
      const args = ['--mode', mode, '--fast-path', fastPath, '--ops-port', '0']
      const server = await serve(t, root, [...args, '--log-level', 'info'])
      // the first one tells the service what kind of file system it is
      await get(`${server.url}0/0`)
      await askForAll(t, server, 1, 300)
      const before = memory('RssAnon', server.pid)
      await askForAll(t, server, 300, fileCount)
      assert.ok(memory('RssAnon', server.pid) - before < 40 * MiB, 'memory grows with files')
      const kept = await metric(server.opsUrl as string, 'open_files')
      // one that was waited for; places of the list of those that were seen may be taken twice
      assert.ok(kept <= 5, `${kept} of them are kept open`)
      assert.ok(descriptors(root, server.pid) <= kept)
      assert.equal(mappedBytes(join(root, '0/0'), server.pid), 0)
      assert.equal(await metric(server.opsUrl as string, 'mapped_regions'), 0)
    })
  })
}

function fill(root: string): void {
  for (let n = 0; n < 10; n++) fs.mkdirSync(join(root, `${n}`))
  for (let n = 0; n < fileCount; n++) {
    const path = join(root, pathOf(n))
    fs.writeFileSync(path, contentOf(n % versionCount, 0, fileBytes))
    fs.utimesSync(path, 1_700_000_000, 1_700_000_000 + n)
  }
}

function pathOf(n: number): string {
  return `${n % 10}/${n}`
}

async function askForAll(
  t: TestContext,
  { origin }: Serving,
  from: number,
  to: number
): Promise<void> {
  const client = RawClient.connect(t, origin)
  for (let n = from; n < to; n++) {
    client.get(`/files/${pathOf(n)}`)
    const answer = await client.answer()
    assert.ok(answer?.isComplete && answer.status === 200, pathOf(n))
    assert.ok(answer.body.equals(contentOf(n % versionCount, 0, fileBytes)), pathOf(n))
  }
}

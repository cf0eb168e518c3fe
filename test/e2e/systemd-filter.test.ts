/** The service under the filter of system calls that the delivered systemd unit puts over it. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { before, describe, it } from 'node:test'
import { mountFaultFs, whyNoFaultFs } from '../support/fault-fs.ts'
import { dropPages } from '../support/kernel-view.ts'
import { metric } from '../support/metrics.ts'
import {
  get,
  makeOld,
  patternBytes,
  type Serving,
  serve,
  suiteLifetime,
  tempFolder,
  writePattern
} from '../support/serve.ts'
import { filterOfUnit, underFilter, whyNoFilter } from '../support/unit-filter.ts'
import { nobody, unprivileged } from '../support/unprivileged.ts'

const fileBytes = 300 * 1024
const unit = filterOfUnit()
const whyNoFuse = whyNoFaultFs()

describe('under the filter of the systemd unit', { skip: whyNoFilter() ?? false }, () => {
  const lifetime = suiteLifetime()
  let under: string[] = []
  let root = ''
  let folders: string[] = []

  before(async () => {
    under = underFilter(lifetime, unit)
    if (whyNoFuse === undefined) {
      const mountpoint = await mountFaultFs(lifetime, {}, fill)
      root = path.dirname(mountpoint)
      folders = ['', `${path.basename(mountpoint)}/`]
    } else {
      root = tempFolder(lifetime)
      folders = ['']
    }
    fill(root)
  })

  for (const [name, args, ownSource, othersSource] of [
    ['mode mmap, 2 workers', ['--workers', '2'], 'mapped', 'read'],
    ['mode mmap, guard off', ['--guard', 'off'], 'mapped', 'mapped'],
    ['mode read', ['--mode', 'read'], 'read', 'read']
  ] as const) {
    it(`files are served, own and other users', cold and hot, on a disk and on FUSE: ${name}`, async (t) => {
      if (unprivileged(t) === undefined) return
      if (whyNoFuse !== undefined) t.diagnostic(`without FUSE: ${whyNoFuse}`)
      const serving = await serve(t, root, ['--ops-port', '0', ...args], { ...nobody, under })
      assertFiltered(serving)
      for (const folder of folders) {
        await assertSource(serving, root, `${folder}own`, ownSource)
        await assertSource(serving, root, `${folder}others`, othersSource)
      }
    })
  }
})

describe('a filter that answers EPERM', { skip: whyNoFilter() ?? false }, () => {
  it("is not taken for the kernel's word on who owns a file", async (t) => {
    if (unprivileged(t) === undefined) return
    const calls = new Set([...unit.calls].filter((call) => call !== 'cachestat'))
    const under = underFilter(t, { errorName: 'EPERM', calls })
    const root = tempFolder(t)
    fill(root)
    const serving = await serve(t, root, ['--ops-port', '0'], { ...nobody, under })
    assertFiltered(serving)
    await assertSource(serving, root, 'own', 'mapped')
    await assertSource(serving, root, 'others', 'read')
  })
})

/** Right when cold, and when hot right and from where it should come. */
async function assertSource(serving: Serving, root: string, file: string, source: string) {
  dropPages(path.join(root, file))
  await getAll(serving, file)
  const counter = `http_response_body_bytes_total{source="${source}"}`
  const before = await metric(serving.opsUrl as string, counter)
  await getAll(serving, file)
  const after = await metric(serving.opsUrl as string, counter)
  assert.equal(after - before, 2 * fileBytes, `${file}: ${source}`)
}

/** `own` belongs to nobody, `others` to whoever runs the tests; both are old enough to be mapped. */
function fill(folder: string): void {
  fs.chmodSync(folder, 0o755)
  for (const name of ['own', 'others']) {
    const file = path.join(folder, name)
    writePattern(file, fileBytes)
    makeOld(file)
    fs.chmodSync(file, 0o644)
  }
  // else the tests that need it are skipped
  if (process.getuid?.() === 0) fs.chownSync(path.join(folder, 'own'), nobody.uid, nobody.gid)
}

/** The whole file, and the same again in two ranges. */
async function getAll({ url }: Serving, file: string): Promise<void> {
  const expected = patternBytes(0, fileBytes)
  const whole = await get(`${url}${file}`)
  assert.equal(whole.status, 200)
  assert.ok(whole.body.equals(expected))
  for (const [start, end] of [
    [0, 5000],
    [5000, fileBytes]
  ] as const) {
    const part = await get(`${url}${file}`, { headers: { range: `bytes=${start}-${end - 1}` } })
    assert.equal(part.status, 206)
    assert.ok(part.body.equals(expected.subarray(start, end)))
  }
}

/** @see proc_pid_status(5): 2 is a filter */
function assertFiltered({ pid }: Serving): void {
  assert.match(fs.readFileSync(`/proc/${pid}/status`, 'utf8'), /^Seccomp:\s+2$/m)
}

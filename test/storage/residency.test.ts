import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { isResident, letGo, map } from '#src/storage/native.ts'
import { mayTrustResidency } from '#src/storage/residency.ts'
import { patternBytes, tempFolder } from '../helpers/serve.ts'
import { dropPages } from './kernel-view.ts'

const nobody = { uid: 65534, gid: 65534 }
const program = join(__dirname, 'residency-child.js')
const fileBytes = 2 ** 20

describe('trust in residency', () => {
  it("is not given to an unprivileged user for root's file, which is served all the same", (t) => {
    const folder = coldFile(t, { uid: 0, gid: 0, mode: 0o644 })
    if (folder === undefined) return
    assert.deepEqual(runAsNobody(folder), {
      isTrusted: false,
      isTrustedByOwnership: false,
      // the lie: nothing of it is in memory
      mincoreSaysResident: true,
      isLastPageCached: false,
      coldSources: ['read'],
      warmSources: ['read'],
      isRight: true,
      mappedBytes: 0,
      regions: 0
    })
  })

  it('is given to an unprivileged user for a file of their own', (t) => {
    const folder = coldFile(t, { ...nobody, mode: 0o444 })
    if (folder === undefined) return
    assert.deepEqual(runAsNobody(folder), {
      isTrusted: true,
      isTrustedByOwnership: true,
      mincoreSaysResident: false,
      isLastPageCached: false,
      coldSources: ['read'],
      warmSources: ['mapped'],
      isRight: true,
      mappedBytes: fileBytes,
      regions: 1
    })
  })

  it('is given for a file that this process has made', (t) => {
    const path = join(tempFolder(t), 'own')
    fs.writeFileSync(path, 'mine')
    const fd = fs.openSync(path, 'r')
    t.after(() => fs.closeSync(fd))
    const stats = fs.fstatSync(fd, { bigint: true })
    assert.equal(mayTrustResidency(fd, stats, true), true)
    assert.equal(mayTrustResidency(fd, stats, false), true)
  })
})

/** A folder with a file called `cold`, none of whose pages is in memory; undefined when that cannot be had. */
function coldFile(
  t: TestContext,
  { uid, gid, mode }: { uid: number; gid: number; mode: number }
): string | undefined {
  if (process.getuid?.() !== 0) return skip(t, 'only root can run a process as another user')
  const read = `require('fs').readFileSync(${JSON.stringify(program)})`
  if (spawnSync(process.execPath, ['-e', read], nobody).status !== 0) {
    return skip(t, 'this folder cannot be read by other users')
  }
  const folder = tempFolder(t)
  fs.chmodSync(folder, 0o755)
  const path = join(folder, 'cold')
  fs.writeFileSync(path, patternBytes(0, fileBytes))
  fs.chmodSync(path, mode)
  fs.chownSync(path, uid, gid)
  dropPages(path)
  return isCold(path) ? folder : skip(t, 'this file system keeps its pages')
}

function isCold(path: string): boolean {
  const fd = fs.openSync(path, 'r')
  const mapping = map(fd, 0, fileBytes)
  // both ends, because the question is whether anything was dropped
  const isWarm = isResident(mapping, 0, 1) || isResident(mapping, fileBytes - 1, fileBytes)
  letGo(mapping)
  fs.closeSync(fd)
  return !isWarm
}

function skip(t: TestContext, reason: string): undefined {
  t.skip(reason)
}

function runAsNobody(folder: string): unknown {
  const options = { ...nobody, encoding: 'utf8', timeout: 20_000, cwd: '/' } as const
  return JSON.parse(execFileSync(process.execPath, [program, folder], options))
}

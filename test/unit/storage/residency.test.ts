import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { mayTrustResidency } from '#src/storage/residency.ts'
import { dropPages, hasResidentPages } from '../../support/kernel-view.ts'
import { makeOld, patternBytes, tempFolder } from '../../support/serve.ts'
import { nobody, unprivileged } from '../../support/unprivileged.ts'

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
    const { uid } = fs.fstatSync(fd)
    assert.equal(mayTrustResidency(fd, uid, true), true)
    assert.equal(mayTrustResidency(fd, uid, false), true)
  })
})

/** A folder with a file called `cold`, none of whose pages is in memory; undefined when that cannot be had. */
function coldFile(
  t: TestContext,
  { uid, gid, mode }: { uid: number; gid: number; mode: number }
): string | undefined {
  if (unprivileged(t) === undefined) return undefined
  const folder = tempFolder(t)
  fs.chmodSync(folder, 0o755)
  const path = join(folder, 'cold')
  fs.writeFileSync(path, patternBytes(0, fileBytes))
  makeOld(path)
  fs.chmodSync(path, mode)
  fs.chownSync(path, uid, gid)
  dropPages(path)
  if (!hasResidentPages(path)) return folder
  t.skip('this file system keeps its pages')
  return undefined
}

function runAsNobody(folder: string): unknown {
  const options = { ...nobody, encoding: 'utf8', timeout: 20_000, cwd: '/' } as const
  return JSON.parse(execFileSync(process.execPath, [program, folder], options))
}

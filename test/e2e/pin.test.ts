import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { lockedBytes } from '../support/kernel-view.ts'
import { metric } from '../support/metrics.ts'
import { get, serve, tempFolder, until, writePattern } from '../support/serve.ts'
import { unprivileged } from '../support/unprivileged.ts'

const KiB = 1024

describe('--pin', () => {
  it('keeps files in memory once for all workers, and /residency and /metrics show it', async (t) => {
    const root = tempFolder(t)
    writePattern(path.join(root, 'a.bin'), 300 * KiB)
    writePattern(path.join(root, 'other'), 10 * KiB)
    const args = ['--pin', '*.bin', '--workers', '2', '--mode', 'read', '--ops-port', '0']
    const { opsUrl, pid } = await serve(t, root, args)
    await until('it is pinned', async () => (await metric(`${opsUrl}`, 'pinned_bytes')) > 0)
    assert.equal(await metric(`${opsUrl}`, 'pinned_bytes'), 300 * KiB)
    assert.equal(lockedBytes(path.join(root, 'a.bin'), pid), 300 * KiB)
    assert.equal(await pinnedBytes(`${opsUrl}/residency/a.bin`), 300 * KiB)
    assert.equal(await pinnedBytes(`${opsUrl}/residency/a.bin?offset=100&length=1000`), 1000)
    assert.equal(await pinnedBytes(`${opsUrl}/residency/other`), 0)
  })

  it('pins as much as RLIMIT_MEMLOCK allows, and says what it could not pin', async (t) => {
    const user = unprivileged(t)
    if (user === undefined) return
    const root = tempFolder(t)
    fs.chmodSync(root, 0o755)
    writePattern(path.join(root, 'a.bin'), 100 * KiB)
    writePattern(path.join(root, 'b.bin'), 300 * KiB)
    const under = ['prlimit', `--memlock=${256 * KiB}:${256 * KiB}`]
    const args = ['--pin', 'a.bin, b.bin, none.bin', '--ops-port', '0']
    const { opsUrl, log } = await serve(t, root, args, { ...user, under })
    const said = (about: RegExp) => log.find(({ msg }) => about.test(String(msg)))
    await until('it says so', () => said(/not all of it is pinned/) !== undefined)
    const { path: file, bytes, pinnedBytes: pinned, reason } = said(/not all/) as never
    assert.deepEqual(
      { file, bytes, pinned, reason },
      { file: 'b.bin', bytes: 300 * KiB, pinned: 156 * KiB, reason: 'RLIMIT_MEMLOCK' }
    )
    assert.deepEqual(said(/^pinned$/)?.path, 'a.bin')
    assert.deepEqual(said(/^no file to pin$/)?.glob, 'none.bin')
    assert.equal(await pinnedBytes(`${opsUrl}/residency/b.bin`), 156 * KiB)
    assert.equal(await metric(`${opsUrl}`, 'pinned_bytes'), 256 * KiB)
  })
})

async function pinnedBytes(url: string): Promise<unknown> {
  return JSON.parse((await get(url)).body.toString()).pinnedBytes
}

/** A client that is gone leaves every queue for the disk: its read or its opening is not started. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { mountFaultFs, whyNoFaultFs } from '../support/fault-fs.ts'
import { RawClient } from '../support/raw-client.ts'
import { serve } from '../support/serve.ts'
import { nobody, unprivileged } from '../support/unprivileged.ts'

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB
const skip = whyNoFaultFs() ?? false
const rangeBytes = 64 * KiB
const goneClients = 200
// so far apart that no readahead of one reaches the next
const strideBytes = 8 * MiB

function fill(folder: string): void {
  fs.writeFileSync(path.join(folder, 'slow-large'), '')
  fs.truncateSync(path.join(folder, 'slow-large'), 4 * GiB)
  for (let n = 0; n < 300; n++) fs.writeFileSync(path.join(folder, `slow-new-${n}`), `${n}`)
}

function rangeOf(n: number): Record<string, string> {
  const start = n * strideBytes
  return { Range: `bytes=${start}-${start + rangeBytes - 1}` }
}

/** Bytes of a file in the page cache; undefined where the tool is missing (util-linux). */
function cachedBytes(file: string): number | undefined {
  const { status, stdout } = spawnSync('fincore', ['--bytes', '--noheadings', '-o', 'RES', file], {
    encoding: 'utf8'
  })
  return status === 0 ? Number(stdout) : undefined
}

describe('200 clients that go while they wait', { skip }, () => {
  for (const { name, mode, user } of [
    { name: 'mmap', mode: 'mmap', user: {} },
    { name: 'read', mode: 'read', user: {} },
    { name: 'mmap, files of another user', mode: 'mmap', user: nobody }
  ]) {
    it(`for reads of one file: the next waits for those alone that had begun, ${name}`, {
      timeout: 60_000
    }, async (t) => {
      if ('uid' in user && unprivileged(t) === undefined) return
      const root = await mountFaultFs(t, { slowMs: 300 }, fill)
      const server = await serve(t, root, ['--mode', mode], user)
      // the file is open, so that all wait for the same
      const first = RawClient.connect(t, server.origin)
      first.get('/files/slow-large', rangeOf(400))
      assert.equal((await first.answer())?.status, 206)
      const cachedBefore = cachedBytes(path.join(root, 'slow-large'))
      const clients = Array.from({ length: goneClients }, (_, n) => {
        const client = RawClient.connect(t, server.origin)
        client.get('/files/slow-large', rangeOf(n))
        return client
      })
      await wait(150)
      for (const client of clients) client.reset()
      await wait(50)
      const startedAtMs = performance.now()
      first.get('/files/slow-large', rangeOf(401))
      const answer = await first.answer()
      const tookMs = performance.now() - startedAtMs
      assert.equal(answer?.status, 206)
      assert.ok(answer.body.equals(Buffer.alloc(rangeBytes)))
      // time for reads that ought not to be
      await wait(1500)
      const cachedAfter = cachedBytes(path.join(root, 'slow-large'))
      const read = (cachedAfter ?? 0) - (cachedBefore ?? 0)
      t.diagnostic(`${Math.round(tookMs)} ms, ${read / KiB} KiB read`)
      // one read that had begun, and its own, with room for a busy machine; 200 in turns take 5 s
      assert.ok(tookMs < 2000, `it took ${Math.round(tookMs)} ms`)
      // 24 threads at the most had begun, and one read of FUSE may be of 128 KiB
      if (cachedBefore !== undefined) assert.ok(read <= 50 * 128 * KiB, `${read / KiB} KiB read`)
    })
  }

  it('for openings: the next waits for those alone that had begun', {
    timeout: 60_000
  }, async (t) => {
    const root = await mountFaultFs(t, { metaMs: 100 }, fill)
    const server = await serve(t, root)
    const clients = Array.from({ length: goneClients }, (_, n) => {
      const client = RawClient.connect(t, server.origin)
      client.get(`/files/slow-new-${n}`)
      return client
    })
    await wait(150)
    for (const client of clients) client.reset()
    await wait(50)
    const next = RawClient.connect(t, server.origin)
    const startedAtMs = performance.now()
    next.get('/files/slow-new-299')
    const answer = await next.answer()
    const tookMs = performance.now() - startedAtMs
    t.diagnostic(`${Math.round(tookMs)} ms`)
    assert.equal(answer?.status, 200)
    assert.equal(answer.body.toString(), '299')
    // an opening asks about the file several times, 100 ms each; 200 of them in turns take 10 s
    assert.ok(tookMs < 3000, `it took ${Math.round(tookMs)} ms`)
  })

  it('they are counted as gone, not as failures, and what they held is given back', {
    timeout: 60_000
  }, async (t) => {
    const root = await mountFaultFs(t, { slowMs: 300 }, fill)
    const server = await serve(t, root)
    const clients = Array.from({ length: goneClients }, (_, n) => {
      const client = RawClient.connect(t, server.origin)
      client.get('/files/slow-large', rangeOf(n))
      return client
    })
    await wait(150)
    for (const client of clients) client.reset()
    await wait(1500)
    const loud = server.log.filter(({ level }) => Number(level) > 30).map(({ msg }) => msg)
    // what a busy machine does is not meant
    const failures = loud.filter((msg) => msg !== 'the event loop stalled')
    assert.deepEqual(failures, [])
    const sockets = fs.readdirSync(`/proc/${server.pid}/fd`).filter((fd) => {
      try {
        return fs.readlinkSync(`/proc/${server.pid}/fd/${fd}`).startsWith('socket:')
      } catch {
        return false // closed since
      }
    })
    assert.ok(sockets.length < 20, `${sockets.length} sockets`)
  })
})

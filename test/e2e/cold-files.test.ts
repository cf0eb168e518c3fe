/** A file that is not in memory, read from its beginning: the right bytes, and not much more than is asked for. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { contentOf } from '../support/contents.ts'
import { dropPages, hasResidentPages } from '../support/kernel-view.ts'
import { RawClient, smallBuffers } from '../support/raw-client.ts'
import { get, makeOld, serve, tempFolder } from '../support/serve.ts'

const MiB = 2 ** 20
const size = 12 * MiB
const longSize = 256 * MiB

for (const mode of ['mmap', 'read']) {
  // on a busy machine the answer is 503 otherwise
  const options = ['--mode', mode, '--max-event-loop-delay', '0ms']
  describe(`a cold file, ${mode}`, () => {
    it('arrives whole, in one answer and in ranges in order, with the right bytes', async (t) => {
      const root = tempFolder(t)
      const file = path.join(root, 'f')
      const bytes = contentOf(1, 0, size)
      fs.writeFileSync(file, bytes)
      makeOld(file)
      for (const rangeBytes of [size, 4 * MiB]) {
        // of a server that has mapped nothing yet: what is mapped stays in memory
        const server = await serve(t, root, options)
        dropPages(file)
        for (let at = 0; at < size; at += rangeBytes) {
          const range = `bytes=${at}-${at + rangeBytes - 1}`
          const { status, body } = await get(`${server.url}f`, { headers: { range } })
          assert.equal(status, 206)
          assert.ok(body.equals(bytes.subarray(at, at + rangeBytes)))
        }
        server.child.kill()
        await server.exited
      }
    })

    it('is read by little more than its first MiB for a client that stops there', async (t) => {
      const root = tempFolder(t)
      const file = path.join(root, 'f')
      fs.writeFileSync(file, '')
      fs.truncateSync(file, longSize)
      makeOld(file)
      const server = await serve(t, root, options)
      dropPages(file)
      if (hasResidentPages(file)) return t.skip('the file system keeps its pages in memory')
      const client = RawClient.connect(t, server.origin, smallBuffers)
      client.get('/files/f')
      const head = await client.head()
      assert.equal(head?.contentLength, longSize)
      await client.read(MiB)
      client.reset()
      // the answer to another request: what the first has caused was begun by then
      assert.equal((await get(`${server.url}f`, { method: 'HEAD' })).status, 200)
      const resident = residentBytes(file)
      if (resident === undefined) return t.skip('fincore(1) is not there')
      assert.ok(resident >= MiB, `${resident}`)
      // what the server took for the client's socket, and as much ahead of it
      assert.ok(resident <= 10 * MiB, `${resident}`)
    })
  })
}

function residentBytes(file: string): number | undefined {
  const words = ['--bytes', '--noheadings', '--output', 'RES', file]
  const { status, stdout } = spawnSync('fincore', words, { encoding: 'utf8' })
  return status === 0 ? Number(stdout) : undefined
}

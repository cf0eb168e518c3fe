import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { descriptors, mappedBytes, touchedExtents } from '../support/kernel-view.ts'
import { PausedClient } from '../support/paused-client.ts'
import {
  get,
  patternBytes,
  type Serving,
  serve,
  tempFolder,
  until,
  writePattern
} from '../support/serve.ts'
import { unprivileged } from '../support/unprivileged.ts'

const MiB = 2 ** 20
const fileBytes = 32 * MiB
const windowBytes = 256 * 1024
const pageBytes = 4096
const windowOption = ['--window-bytes', `${windowBytes}`]

for (const mode of ['mmap', 'read'] as const) {
  describe(`files beyond 32 bits, ${mode}`, () => {
    it('are served right around every edge of a 32-bit number', async (t) => {
      const root = tempFolder(t)
      const path = join(root, 'sparse')
      const size = 5 * 2 ** 30 + 12_345
      fs.writeFileSync(path, '')
      fs.truncateSync(path, size)
      for (const edge of [0, 2 ** 31, 2 ** 32, size]) {
        writeAt(path, patternBytes(edge % 251, (edge % 251) + 600), edge - 300, size)
      }
      const { url, pid } = await serve(t, root, ['--mode', mode])
      // what is asked for again is mapped
      await get(`${url}sparse`, { method: 'HEAD' })
      for (const [start, end] of [
        [0, 200],
        [2 ** 31 - 200, 2 ** 31 - 1],
        [2 ** 31 - 1, 2 ** 31],
        [2 ** 31, 2 ** 31 + 200],
        [2 ** 32 - 200, 2 ** 32 - 1],
        [2 ** 32 - 1, 2 ** 32],
        [2 ** 32, 2 ** 32 + 200],
        [size - 200, size]
      ] as const) {
        // reading it here also makes its pages resident
        const expected = readAt(path, start, end)
        assert.ok(expected.some((byte) => byte !== 0))
        const { status, body } = await get(`${url}sparse`, {
          headers: { range: `bytes=${start}-${end - 1}` }
        })
        assert.equal(status, 206)
        assert.deepEqual(body, expected)
        // The kernel has touched the pages of a mapping only if it has sent them from there.
        const isTouched = touchedExtents(path, pid).some((extent) => {
          return extent.offset <= start && start < extent.offset + extent.length
        })
        assert.equal(isTouched, mode === 'mmap', `at ${start}`)
      }
      for (const edge of [2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32]) {
        const headers = { range: `bytes=${edge - 200}-${edge + 199}` }
        const { body } = await get(`${url}sparse`, { headers })
        assert.deepEqual(body, readAt(path, edge - 200, edge + 200))
      }
    })
  })

  describe(`a file that changes while it is being sent, ${mode}`, () => {
    for (const [name, size] of [
      ['shrinks to whole pages', 64 * pageBytes],
      ['shrinks to less than a page', 1000],
      ['becomes empty', 0]
    ] as const) {
      it(`${name}: that connection is cut, with right bytes and a reason`, async (t) => {
        const { server, path, client } = await stalled(t, mode)
        fs.truncateSync(path, size)
        const { body, isComplete } = await client.rest()
        assert.equal(isComplete, false)
        assert.ok(body.length < client.contentLength)
        assertOld(body, mode === 'mmap' ? 'in the last page zeros may follow' : undefined, size)
        await logged(server, 'response cut')
        await assertNext(server, path)
      })
    }

    it('is rewritten in place: the response is cut and never complete', async (t) => {
      const { server, path, client } = await stalled(t, mode)
      writeAt(path, patternBytes(7, fileBytes + 7), 0, fileBytes)
      const { body, isComplete } = await client.rest()
      assert.equal(isComplete, false)
      assert.ok(body.length < client.contentLength)
      if (mode === 'read') assertOld(body)
      else assertOldThenNew(body)
      const record = await logged(server, 'response cut')
      assert.equal(record.reason, 'changed')
      await assertNext(server, path)
    })

    it('is replaced by rename: the response ends with the old bytes', async (t) => {
      const { server, path, client } = await stalled(t, mode)
      fs.writeFileSync(`${path}.new`, patternBytes(7, 100_007))
      fs.renameSync(`${path}.new`, path)
      await assertNext(server, path)
      const { body, isComplete } = await client.rest()
      assert.equal(isComplete, true)
      assert.equal(body.length, fileBytes)
      assertOld(body)
      await assertNext(server, path)
      await until('only the new file is kept open', () => descriptors(path, server.pid) === 1)
    })

    it('is deleted: the response ends, the next is 404, and its space is given back', async (t) => {
      const { server, path, client } = await stalled(t, mode)
      fs.rmSync(path)
      const { body, isComplete } = await client.rest()
      assert.equal(isComplete, true)
      assert.equal(body.length, fileBytes)
      assertOld(body)
      // by the sweep: nobody asks for it any more
      await until('descriptor and mapping are gone', () => {
        return descriptors(path, server.pid) === 0 && mappedBytes(path, server.pid) === 0
      })
      assert.equal((await get(`${server.url}file`)).status, 404)
    })
  })

  describe(`a file that fails, ${mode}`, () => {
    it('is not found when the user of the server may not read it, and the log says why', async (t) => {
      const user = unprivileged(t)
      if (user === undefined) return
      const root = tempFolder(t)
      fs.chmodSync(root, 0o755)
      fs.writeFileSync(join(root, 'secret'), 'secret')
      fs.chmodSync(join(root, 'secret'), 0)
      const server = await serve(t, root, ['--mode', mode], user)
      const { status, body } = await get(`${server.url}secret`)
      assert.equal(status, 404)
      assert.ok(!body.includes(root) && !body.includes('EACCES'))
      assert.equal((await logged(server, 'not found')).reason, 'EACCES')
      return
    })

    it('is 500 when reading it fails, and the log says why', async (t) => {
      // a regular file of one page that opens and maps to nothing, and whose reading is refused
      const name = 'class/net/lo/speed'
      if (readError(`/sys/${name}`) !== 'EINVAL') return t.skip(`/sys/${name} can be read`)
      const server = await serve(t, '/sys', ['--mode', mode])
      const { status, body } = await get(`${server.url}${name}`)
      assert.equal(status, 500)
      assert.ok(!body.includes('EINVAL'))
      const record = await logged(server, 'the file could not be read')
      assert.deepEqual([record.code, record.reason, record.offset], ['READ_FAILED', 'EINVAL', 0])
      assert.equal((await get(`${server.origin}/healthz`)).status, 200)
      return
    })
  })
}

/** A server whose only client has had the beginning of a file of the pattern and stands still. */
async function stalled(
  t: TestContext,
  mode: 'mmap' | 'read'
): Promise<{ server: Serving; path: string; client: PausedClient }> {
  const root = tempFolder(t)
  const path = join(root, 'file')
  writePattern(path, fileBytes)
  const server = await serve(t, root, ['--mode', mode, ...windowOption])
  const client = await PausedClient.get(`${server.url}file`)
  assert.equal(client.status, 200)
  assert.equal(client.contentLength, fileBytes)
  await client.readTo(2 * windowBytes)
  return { server, path, client }
}

/** The next request gets what the path names now, from the same process. */
async function assertNext({ url, child }: Serving, path: string): Promise<void> {
  const { status, body } = await get(`${url}file`)
  assert.equal(status, 200)
  assert.equal(Buffer.compare(body, fs.readFileSync(path)), 0)
  assert.equal(child.exitCode, null)
}

const old = patternBytes(0, fileBytes)

function assertOld(body: Buffer, mayEndInZeros?: string, newSize = 0): void {
  const wrong = firstDifference(body, old)
  if (wrong === body.length) return
  assert.ok(mayEndInZeros !== undefined, `a wrong byte at ${wrong}`)
  // What the kernel clears behind the end of a file, to the end of its page, is still mapped.
  assert.ok(wrong >= newSize && Math.floor(wrong / pageBytes) === Math.floor(newSize / pageBytes))
  const zeros = body.subarray(wrong)
  assert.ok(zeros.length < pageBytes && zeros.every((byte) => byte === 0))
}

/** A mapped window that a slow client was being sent shows the new content from some byte on. */
function assertOldThenNew(body: Buffer): void {
  const from = firstDifference(body, old)
  const rest = body.subarray(from)
  assert.equal(Buffer.compare(rest, patternBytes(from + 7, body.length + 7)), 0)
  assert.ok(rest.length <= windowBytes, `${rest.length} bytes of another content`)
}

/** The first position at which two Buffers differ; the length of `body` if they do not. */
function firstDifference(body: Buffer, expected: Buffer): number {
  if (body.compare(expected, 0, body.length) === 0) return body.length
  return body.findIndex((byte, index) => byte !== expected[index])
}

async function logged(server: Serving, message: string): Promise<Record<string, unknown>> {
  const find = () => server.log.find((record) => record.msg === message)
  await until(`the log says "${message}"`, () => find() !== undefined)
  return find() as Record<string, unknown>
}

function readError(path: string): string | undefined {
  try {
    fs.readFileSync(path)
    return undefined
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}

function readAt(path: string, start: number, end: number): Buffer {
  const fd = fs.openSync(path, 'r')
  const bytes = Buffer.alloc(end - start)
  fs.readSync(fd, bytes, 0, bytes.length, start)
  fs.closeSync(fd)
  return bytes
}

/** Write those of `bytes` at `position` that lie inside the file, in place. */
function writeAt(path: string, bytes: Buffer, position: number, size: number): void {
  const fd = fs.openSync(path, 'r+')
  const from = Math.max(0, -position)
  const to = Math.min(bytes.length, size - position)
  fs.writeSync(fd, bytes, from, to - from, position + from)
  fs.closeSync(fd)
}

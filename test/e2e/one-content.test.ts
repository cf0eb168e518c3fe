/**
 * A complete answer is of one content, and its validator is that content's: for every size, for clients that
 * stop reading, behind other answers of the same connection, and in several parts.
 */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { assertOneVersion, contentOf, describeMix, versionOf } from '../support/contents.ts'
import {
  type RawAnswer,
  RawClient,
  type RawClientOptions,
  smallBuffers
} from '../support/raw-client.ts'
import {
  get,
  type Lifetime,
  type Serving,
  serve,
  suiteLifetime,
  tempFolder,
  until
} from '../support/serve.ts'
import { nobody, unprivileged } from '../support/unprivileged.ts'

const KiB = 1024
const MiB = 1024 * KiB
// Between a head and the rest of its body the client stands still for so long, and the file changes meanwhile.
const pauseMs = 400

const servers = [
  { name: 'mmap', mode: 'mmap', user: {} },
  { name: 'read', mode: 'read', user: {} },
  { name: 'mmap, files of another user', mode: 'mmap', user: nobody },
  { name: 'read, files of another user', mode: 'read', user: nobody }
] as const

/** Ways in which a file gets another content under the same inode. */
const changes: Readonly<Record<string, (path: string, size: number) => void>> = {
  'rewritten in place': (path, size) => writeAt(path, contentOf(1, 0, size), 0),
  'truncated and rewritten larger': (path, size) => {
    fs.writeFileSync(path, contentOf(1, 0, size + (size >> 1) + 1))
  },
  'its first 4 KiB rewritten, and appended to': (path, size) => {
    writeAt(path, contentOf(1, 0, Math.min(size, 4 * KiB)), 0)
    fs.appendFileSync(path, contentOf(1, size, size + 4 * KiB))
  }
}

for (const { name, mode, user } of servers) {
  describe(`one content, ${name}`, () => {
    const lifetime = suiteLifetime()
    let started: Promise<Served> | undefined
    /** @returns undefined when the test is skipped: it takes root to serve as another user */
    const theServer = (t: TestContext): Promise<Served> | undefined => {
      if ('uid' in user && unprivileged(t) === undefined) return undefined
      started ??= serveFolder(lifetime, mode, user)
      return started
    }

    it('a client stands still while its file changes', { timeout: 60_000 }, async (t) => {
      const server = await theServer(t)
      if (server === undefined) return
      // what fits into the buffers of both kernels, or nearly, is interesting; the others are for completeness
      const sizes = [1, 1000, 16 * KiB, 8 * MiB]
      for (const size of [64 * KiB, 256 * KiB, 512 * KiB, MiB]) sizes.push(size, size)
      const cases = Object.keys(changes).flatMap((change) =>
        sizes.map((size) => ({ change, size }))
      )
      cases.push({ change: 'rewritten in place', size: 32 * MiB })
      if (name === 'mmap') cases.push({ change: 'rewritten in place', size: 64 * MiB })
      const clients = await Promise.all(
        cases.map(async ({ change, size }, n) => {
          // not the whole file in every other, nor the same buffers in every third
          const fields = n % 2 === 1 && size > 10 ? { Range: 'bytes=3-' } : {}
          const buffers = n % 3 === 0 ? { maxSegment: 1400 } : smallBuffers
          return { change, ...(await begin(t, server, size, fields, buffers)) }
        })
      )
      await wait(pauseMs / 2)
      for (const { change, path, size } of clients) changes[change]?.(path, size)
      await wait(pauseMs / 2)
      const answers = await Promise.all(clients.map(({ finish }) => finish()))
      const found = await Promise.all(answers.map(({ whyWrong }) => whyWrong()))
      const wrong = found.flatMap((why, n) => why.map((text) => `${cases[n]?.change}, ${text}`))
      const complete = answers.filter(({ answer }) => answer.isComplete).length
      t.diagnostic(`${wrong.length} wrong, ${complete} complete of ${answers.length}`)
      assert.deepEqual(wrong, [], `${wrong.length} of ${answers.length} wrong`)
      for (const { answer, size } of answers) {
        assert.ok(answer.isComplete || size > 16 * KiB, `${size} bytes were cut`)
      }
      for (const { path, file } of clients) {
        const next = await get(server.url + file)
        assert.ok(next.status === 200 && next.body.equals(fs.readFileSync(path)), file)
      }
    })

    it('a pipelined answer that waits behind a long one is about what is there at its turn', {
      timeout: 60_000
    }, async (t) => {
      const server = await theServer(t)
      if (server === undefined) return
      const first = 16 * MiB
      const long = writeOld(server.root, first).file
      const sizes = [1, 64 * KiB, 256 * KiB, MiB, 4 * MiB]
      const clients = await Promise.all(
        sizes.map(async (size, n) => {
          const { file, path } = writeOld(server.root, size)
          const oldEtag = await etagOf(server, file)
          const client = RawClient.connect(t, server.origin, n % 2 === 0 ? smallBuffers : {})
          client.get(`/files/${long}`)
          client.get(`/files/${file}`)
          const head = await client.head()
          assert.equal(head?.status, 200)
          return { path, size, oldEtag, client, head }
        })
      )
      await wait(pauseMs / 2)
      for (const { path, size } of clients) writeAt(path, contentOf(1, 0, size), 0)
      await wait(pauseMs / 2)
      const wrong: string[] = []
      for (const { size, oldEtag, client, head } of clients) {
        client.widen()
        const { body, isComplete } = await client.rest(head)
        assert.ok(body.equals(contentOf(0, 0, body.length)), 'the first is not what it was')
        const second = isComplete ? await client.answer() : undefined
        if (!second?.isComplete) {
          wrong.push(`${size}: the ${isComplete ? 'second' : 'first'} was cut`)
          continue
        }
        assert.equal(second.status, 200)
        assert.equal(second.contentLength, size)
        const of = versionOf(second.body)
        const etag = second.headers.get('etag')
        if (of === undefined) wrong.push(`${size}: ${describeMix(second.body)}`)
        else if ((etag === oldEtag) !== (of === 0)) wrong.push(`${size}: version ${of}, ${etag}`)
      }
      assert.deepEqual(wrong, [], `${wrong.length} of ${clients.length} wrong`)
    })

    // the same code as with files of one's own from here on
    if ('uid' in user) return

    it('clients read slowly while the files are rewritten again and again', {
      timeout: 60_000
    }, async (t) => {
      const server = await theServer(t)
      if (server === undefined) return
      const sizes = [4 * KiB, 64 * KiB, 256 * KiB, MiB, 4 * MiB]
      const files = sizes.map((size) => writeOld(server.root, size))
      const endMs = performance.now() + 1500
      let version = 0
      const writer = (async () => {
        for (; performance.now() < endMs; await wait(60)) {
          version = (version + 1) % 256
          for (const [n, size] of sizes.entries()) {
            writeAt(files[n]?.path as string, contentOf(version, 0, size), 0)
          }
        }
      })()
      const outcomes = { complete: 0, cut: 0, refused: 0 }
      const wrong: string[] = []
      const readers = [...sizes, ...sizes].map(async (size, n) => {
        const file = files[n % sizes.length]?.file as string
        const versions = new Map<string, number | undefined>()
        while (performance.now() < endMs) {
          const client = RawClient.connect(t, server.origin, smallBuffers)
          client.get(`/files/${file}`)
          const head = await client.head()
          const begun: Buffer[] = []
          for (let at = 0; at < size; at += size / 4) {
            begun.push(await client.read(size / 4))
            await wait(15)
          }
          client.reset()
          const body = Buffer.concat(begun)
          if (head === undefined || body.length < head.contentLength) outcomes.cut++
          else if (head.status !== 200) outcomes.refused++
          else {
            outcomes.complete++
            const of = versionOf(body)
            const etag = head.headers.get('etag') as string
            if (of === undefined) wrong.push(`${file}: ${describeMix(body)}`)
            else if (etag.startsWith('"') && (versions.get(etag) ?? of) !== of) {
              wrong.push(`${file}: versions ${versions.get(etag)} and ${of} have one ETag`)
            }
            versions.set(etag, of)
          }
        }
      })
      await Promise.all([writer, ...readers])
      t.diagnostic(JSON.stringify(outcomes))
      assert.deepEqual(wrong, [], `${wrong.length} of ${outcomes.complete} wrong`)
      assert.ok(outcomes.complete > 0)
    })

    it('pipelined answers about one file that is rewritten meanwhile', {
      timeout: 60_000
    }, async (t) => {
      const server = await theServer(t)
      if (server === undefined) return
      const size = MiB
      const clients = await Promise.all(
        Array.from({ length: 4 }, async (_, n) => {
          const { file, path } = writeOld(server.root, size)
          const client = RawClient.connect(t, server.origin, n % 2 === 0 ? smallBuffers : {})
          for (let times = 0; times < 12; times++) client.get(`/files/${file}`)
          const head = await client.head()
          assert.equal(head?.status, 200)
          return { path, client, head }
        })
      )
      await wait(pauseMs / 2)
      for (const { path } of clients) writeAt(path, contentOf(1, 0, size), 0)
      await wait(pauseMs / 2)
      const wrong: string[] = []
      let complete = 0
      for (const { client, head } of clients) {
        const etags = new Map<string | undefined, number>()
        client.widen()
        let answer: RawAnswer | undefined = await client.rest(head)
        for (let n = 1; answer?.isComplete; n++) {
          complete++
          assert.equal(answer.status, 200)
          const of = versionOf(answer.body)
          const etag = answer.headers.get('etag')
          if (of === undefined) wrong.push(`answer ${n}: ${describeMix(answer.body)}`)
          else if ((etags.get(etag) ?? of) !== of) wrong.push(`answer ${n}: version ${of}, ${etag}`)
          else etags.set(etag, of)
          answer = n < 12 ? await client.answer() : undefined
        }
      }
      t.diagnostic(`${complete} complete`)
      assert.deepEqual(wrong, [], `${wrong.length} of ${complete} wrong`)
    })

    it('four parts of 8 MiB, with a pause in which the file is rewritten', {
      timeout: 60_000
    }, async (t) => {
      const server = await theServer(t)
      if (server === undefined) return
      const size = 8 * MiB
      const lengths = [1000, 64 * KiB, 64 * KiB, 256 * KiB, 1.5 * MiB]
      const clients = await Promise.all(
        lengths.map(async (length) => {
          const { file, path } = writeOld(server.root, size)
          const oldEtag = await etagOf(server, file)
          const ranges = [0, 1, 2, 3].map((part) => {
            const start = 2 * MiB * part + 1
            return [start, start + length] as const
          })
          const range = ranges.map(([start, end]) => `${start}-${end - 1}`).join(',')
          const client = RawClient.connect(t, server.origin, smallBuffers)
          client.get(`/files/${file}`, { Range: `bytes=${range}` })
          const head = await client.head()
          assert.equal(head?.status, 206)
          return { path, oldEtag, ranges, client, head }
        })
      )
      await wait(pauseMs / 2)
      for (const { path } of clients) writeAt(path, contentOf(1, 0, size), 0)
      await wait(pauseMs / 2)
      const wrong: string[] = []
      let complete = 0
      for (const { oldEtag, ranges, client, head } of clients) {
        client.widen()
        const { body, isComplete } = await client.rest(head)
        if (!isComplete) continue
        complete++
        const expected = head.headers.get('etag') === oldEtag ? 0 : 1
        for (const [start, end] of ranges) {
          const field = Buffer.from(`Content-Range: bytes ${start}-${end - 1}/${size}\r\n\r\n`)
          const at = body.indexOf(field)
          assert.ok(at > 0, 'a part is missing')
          const part = body.subarray(at + field.length, at + field.length + end - start)
          if (part.equals(contentOf(expected, start, end))) continue
          wrong.push(`${end - start} from ${start}: ${describeMix(part, start)}, not ${expected}`)
        }
      }
      t.diagnostic(`${complete} complete of ${clients.length}`)
      assert.deepEqual(wrong, [], `${wrong.length} parts wrong`)
    })
  })
}

type Served = Serving & { readonly root: string }

async function serveFolder(
  t: Lifetime,
  mode: string,
  user: { readonly uid?: number; readonly gid?: number }
): Promise<Served> {
  const root = tempFolder(t)
  fs.chmodSync(root, 0o755)
  return { ...(await serve(t, root, ['--mode', mode, '--log-level', 'info'], user)), root }
}

let written = 0

/** A new file of version 0, so old that nothing about it is in doubt. */
function writeOld(root: string, size: number): { file: string; path: string } {
  const file = `f${written++}`
  const path = join(root, file)
  fs.writeFileSync(path, contentOf(0, 0, size))
  const minuteAgo = Date.now() / 1000 - 60
  fs.utimesSync(path, minuteAgo, minuteAgo)
  return { file, path }
}

function writeAt(path: string, bytes: Buffer, position: number): void {
  const fd = fs.openSync(path, 'r+')
  for (let at = 0; at < bytes.length; ) {
    at += fs.writeSync(fd, bytes, at, bytes.length - at, position + at)
  }
  fs.closeSync(fd)
}

async function etagOf(server: Serving, file: string): Promise<string | undefined> {
  return (await get(server.url + file, { method: 'HEAD' })).headers.etag
}

/** A client that has the head of an answer about a file of version 0, and stands still. */
async function begin(
  t: TestContext,
  server: Served,
  size: number,
  fields: Readonly<Record<string, string>>,
  buffers: RawClientOptions
) {
  const { file, path } = writeOld(server.root, size)
  const oldBytes = contentOf(0, 0, size)
  const oldEtag = await etagOf(server, file)
  assert.match(oldEtag ?? '', /^"/)
  const client = RawClient.connect(t, server.origin, buffers)
  client.get(`/files/${file}`, fields)
  const head = await client.head()
  assert.ok(head !== undefined)
  assert.equal(head.status, fields.Range === undefined ? 200 : 206)
  const start = fields.Range === undefined ? 0 : 3
  const finish = async () => {
    client.widen()
    const answer = await client.rest(head)
    client.reset()
    /** What is wrong with a complete answer. */
    const whyWrong = async (): Promise<string[]> => {
      if (!answer.isComplete) return []
      const { body, headers } = answer
      const etag = headers.get('etag')
      const isOf = (bytes: Buffer) => body.equals(bytes.subarray(start, start + body.length))
      if (etag === oldEtag && isOf(oldBytes)) return []
      const newBytes = fs.readFileSync(path)
      await until('the new content has a strong ETag', async () => {
        return (await etagOf(server, file))?.startsWith('"') === true
      })
      const newEtag = await etagOf(server, file)
      const mayBeNew = etag === newEtag || (etag?.startsWith('W/') === true && etag !== oldEtag)
      if (mayBeNew && isOf(newBytes)) return []
      if (isOf(oldBytes) || isOf(newBytes)) return [`${size}: an ETag of the other content`]
      return [`${size}: ${describeMix(body, start)}`]
    }
    return { answer, size, whyWrong }
  }
  return { path, file, size, finish }
}

/** The two helpers of contents agree with what is written here. */
it('a mixed slice is told from a whole one', () => {
  const mixed = Buffer.concat([contentOf(3, 5, 10), contentOf(4, 10, 12)])
  assert.equal(versionOf(mixed, 5), undefined)
  assert.equal(assertOneVersion(contentOf(200, 77, 99), 77), 200)
})

/**
 * Files that change all the time under readers: whatever completes is of one content, and that of its ETag.
 * CHANGING_SECONDS says for how long.
 */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { descriptors, mappedBytes } from '../support/kernel-view.ts'
import { get, serve, tempFolder, until } from '../support/serve.ts'

const seconds = Number(process.env.CHANGING_SECONDS ?? 5)
const mostBytes = 2 ** 20
const base = Buffer.from(Array.from({ length: mostBytes }, (_, i) => i * 7 + (i >>> 8) * 13))
// Times 101 is a permutation of the bytes: of each byte of a file it can be told which content it is of.
const versions = Array.from({ length: 256 }, (_, byte) => {
  return Array.from({ length: 256 }, (_, version) => version).find(
    (version) => ((version * 101) & 0xff) === byte
  ) as number
})

function content(version: number, start = 0, end = mostBytes): Buffer {
  const bytes = Buffer.from(base.subarray(start, end))
  for (let i = 0; i < bytes.length; i++) bytes[i] = (bytes[i] as number) + version * 101
  return bytes
}

for (const mode of ['mmap', 'read'] as const) {
  for (const workers of mode === 'mmap' ? ['1', '2'] : ['1']) {
    it(`files that change under 16 connections, ${mode}, ${workers} worker(s)`, {
      timeout: (seconds + 60) * 1000
    }, async (t) => {
      const root = tempFolder(t)
      const names = ['a', 'b', 'c', 'd']
      const files = names.map((name) => new ChangingFile(join(root, name)))
      const server = await serve(t, root, [
        ...['--mode', mode, '--workers', workers, '--log-level', 'info', '--window-bytes', '128KiB']
      ]).catch((error: unknown) => assert.fail(String(error)))
      const seen = { complete: 0, cut: 0 } as Record<string, number>
      const versionOf = new Map<string, number>()
      let isOver = false
      const changer = (async () => {
        for (let n = 0; !isOver; n++) {
          const file = files[n % files.length] as ChangingFile
          file.change()
          await wait(Math.random() * 40)
        }
      })()
      const readers = Array.from({ length: 16 }, async () => {
        while (!isOver) {
          const name = names[Math.floor(Math.random() * names.length)] as string
          const start = Math.floor(Math.random() * mostBytes)
          const length = 1 + Math.floor(Math.random() * (Math.random() < 0.5 ? 10_000 : 600_000))
          const range = `bytes=${start}-${start + length - 1}`
          const answer = await ask(`${server.url}${name}`, range)
          if (answer === 'cut') {
            seen.cut = (seen.cut ?? 0) + 1
            continue
          }
          seen[answer.status] = (seen[answer.status] ?? 0) + 1
          assert.ok([206, 404, 416, 503].includes(answer.status), `status ${answer.status}`)
          if (answer.status === 206) {
            assertOneContent(answer, start, name, versionOf)
            seen.complete = (seen.complete ?? 0) + 1
          }
        }
      })
      try {
        await Promise.race([wait(seconds * 1000), Promise.all(readers)])
      } finally {
        isOver = true
        await changer
      }
      await Promise.all(readers)
      t.diagnostic(JSON.stringify(seen))
      assert.ok((seen.complete ?? 0) > 100)
      // after the last change each next request sees the newest content
      for (const [n, file] of files.entries()) {
        const { status, body } = await get(`${server.url}${names[n]}`)
        assert.equal(status, 200)
        assert.ok(body.equals(fs.readFileSync(file.path)))
      }
      // and what was replaced or deleted takes no space any more
      for (const { path } of files) fs.rmSync(path)
      if (workers !== '1') return
      await until(
        'nothing of them is held',
        () => {
          const held = files.some(({ path }) => mappedBytes(path, server.pid) > 0)
          return !held && descriptors(root, server.pid) === 0
        },
        30_000
      )
    })
  }
}

interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly body: Buffer
}

/** On connections that are kept. @returns 'cut' when the connection went before the body was complete */
async function ask(url: string, range: string): Promise<Answer | 'cut'> {
  const signal = AbortSignal.timeout(10_000)
  try {
    const answer = await fetch(url, { headers: { range }, signal })
    const body = Buffer.from(await answer.arrayBuffer())
    return { status: answer.status, headers: answer.headers, body }
  } catch (error) {
    assert.ok(!signal.aborted, `${range} hangs`)
    assert.ok(error instanceof TypeError, String(error)) // what fetch() throws for a network error
    return 'cut'
  }
}

function assertOneContent(
  { headers, body }: Answer,
  start: number,
  name: string,
  versionOf: Map<string, number>
): void {
  assert.equal(body.length, Number(headers.get('content-length')))
  const version = versions[((body[0] as number) - (base[start] as number)) & 0xff] as number
  const expected = content(version, start, start + body.length)
  if (!body.equals(expected)) {
    const at = body.findIndex((byte, i) => byte !== expected[i])
    assert.fail(`spliced at ${at} of ${body.length} bytes from ${start}`)
  }
  const key = `${name} ${headers.get('etag')}`
  const before = versionOf.get(key) ?? version
  versionOf.set(key, version)
  assert.equal(version, before, 'two contents with one ETag')
}

class ChangingFile {
  readonly path: string
  #version = 0
  #size = mostBytes

  constructor(path: string) {
    this.path = path
    this.#write(path)
  }

  /** Shrinks, grows, is rewritten in place, is replaced, or is deleted and made anew. */
  change(): void {
    const what = Math.floor(Math.random() * 6)
    if (what === 0) {
      this.#size = Math.floor(Math.random() * this.#size)
      fs.truncateSync(this.path, this.#size)
    } else if (what === 1 && this.#size < mostBytes) {
      const end = Math.min(mostBytes, this.#size + Math.floor(Math.random() * 500_000))
      fs.appendFileSync(this.path, content(this.#version, this.#size, end))
      this.#size = end
    } else if (what <= 3) {
      this.#version = (this.#version + 1) % 256
      const fd = fs.openSync(this.path, 'r+')
      fs.writeSync(fd, content(this.#version), 0, this.#size, 0)
      fs.closeSync(fd)
    } else {
      if (what === 5) fs.rmSync(this.path)
      this.#version = (this.#version + 1) % 256
      this.#size = mostBytes
      this.#write(`${this.path}.new`)
      fs.renameSync(`${this.path}.new`, this.path)
    }
  }

  #write(path: string): void {
    fs.writeFileSync(path, content(this.#version, 0, this.#size))
  }
}

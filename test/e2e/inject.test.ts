/** Every kind of answer through app.inject(), which has no socket: a program's own tests ask that way. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import pino from 'pino'
import { buildApp } from '#src/app.ts'
import { readCommand } from '#src/config/command-line.ts'
import { contentOf } from '../support/contents.ts'
import { tempFolder } from '../support/serve.ts'

const small = contentOf(0, 0, 10_000)
const large = contentOf(1, 0, 3 * 2 ** 20)

async function appOf(t: TestContext, mode: string) {
  const root = tempFolder(t)
  fs.writeFileSync(join(root, 'small.txt'), small)
  fs.writeFileSync(join(root, 'large.bin'), large)
  fs.writeFileSync(join(root, 'empty.txt'), '')
  fs.mkdirSync(join(root, 'folder'))
  const at = 1_700_000_000
  for (const file of ['small.txt', 'large.bin', 'empty.txt'])
    fs.utimesSync(join(root, file), at, at)
  const command = readCommand(['--root', root, '--mode', mode], {}, '0.0.0')
  assert.equal(command.kind, 'serve')
  const { server } = await buildApp(command.config, pino({ level: 'silent' }), '0.0.0')
  t.after(() => server.close())
  return server
}

for (const mode of ['mmap', 'read']) {
  describe(`app.inject, ${mode}`, { timeout: 30_000 }, () => {
    const whole = [
      ['small.txt', small],
      ['large.bin', large],
      ['empty.txt', Buffer.alloc(0)]
    ] as const
    for (const [file, bytes] of whole) {
      it(`200: ${file}`, async (t) => {
        const app = await appOf(t, mode)
        // the second request finds the file open
        for (let times = 0; times < 2; times++) {
          const answer = await app.inject({ url: `/files/${file}` })
          assert.equal(answer.statusCode, 200)
          assert.equal(answer.headers['content-length'], `${bytes.length}`)
          assert.match(`${answer.headers.etag}`, /^"/)
          assert.ok(answer.rawPayload.equals(bytes))
        }
      })

      it(`HEAD: ${file}`, async (t) => {
        const app = await appOf(t, mode)
        const answer = await app.inject({ method: 'HEAD', url: `/files/${file}` })
        assert.equal(answer.statusCode, 200)
        assert.equal(answer.headers['content-length'], `${bytes.length}`)
        assert.equal(answer.rawPayload.length, 0)
      })
    }

    it('206: small and large ranges', async (t) => {
      const app = await appOf(t, mode)
      for (const [file, bytes, start, end] of [
        ['small.txt', small, 0, 1],
        ['small.txt', small, 5000, 10_000],
        ['large.bin', large, 100, 200],
        ['large.bin', large, 1, 3 * 2 ** 20 - 1]
      ] as const) {
        const headers = { range: `bytes=${start}-${end - 1}` }
        const answer = await app.inject({ url: `/files/${file}`, headers })
        assert.equal(answer.statusCode, 206)
        const expected = `bytes ${start}-${end - 1}/${bytes.length}`
        assert.equal(answer.headers['content-range'], expected)
        assert.ok(answer.rawPayload.equals(bytes.subarray(start, end)))
      }
    })

    it('206: several parts', async (t) => {
      const app = await appOf(t, mode)
      const headers = { range: 'bytes=0-9,2000000-3000000' }
      const answer = await app.inject({ url: '/files/large.bin', headers })
      assert.equal(answer.statusCode, 206)
      assert.match(`${answer.headers['content-type']}`, /^multipart\/byteranges; boundary=/)
      assert.equal(answer.headers['content-length'], `${answer.rawPayload.length}`)
      for (const [start, end] of [
        [0, 10],
        [2_000_000, 3_000_001]
      ] as const) {
        const field = `Content-Range: bytes ${start}-${end - 1}/${large.length}\r\n\r\n`
        const at = answer.rawPayload.indexOf(field) + field.length
        assert.ok(
          answer.rawPayload.subarray(at, at + end - start).equals(large.subarray(start, end))
        )
      }
    })

    it('304, 412, 416 and 404', async (t) => {
      const app = await appOf(t, mode)
      const url = '/files/small.txt'
      const etag = `${(await app.inject({ method: 'HEAD', url })).headers.etag}`
      const notModified = await app.inject({ url, headers: { 'if-none-match': etag } })
      assert.equal(notModified.statusCode, 304)
      assert.equal(notModified.headers.etag, etag)
      assert.equal(notModified.rawPayload.length, 0)
      const failed = await app.inject({ url, headers: { 'if-match': '"other"' } })
      assert.equal(failed.statusCode, 412)
      const unsatisfiable = await app.inject({ url, headers: { range: 'bytes=10000-' } })
      assert.equal(unsatisfiable.statusCode, 416)
      assert.equal(unsatisfiable.headers['content-range'], 'bytes */10000')
      for (const name of ['none', 'folder', '..%2fetc', '.hidden']) {
        const missing = await app.inject({ url: `/files/${name}` })
        assert.equal(missing.statusCode, 404)
        assert.equal(missing.json().statusCode, 404)
      }
    })

    it('OPTIONS, a preflight, and methods that are not allowed', async (t) => {
      const app = await appOf(t, mode)
      const url = '/files/small.txt'
      const options = await app.inject({ method: 'OPTIONS', url })
      assert.equal(options.statusCode, 204)
      assert.match(`${options.headers.allow}`, /GET/)
      const preflight = await app.inject({
        method: 'OPTIONS',
        url,
        headers: { origin: 'http://example.com', 'access-control-request-method': 'GET' }
      })
      assert.equal(preflight.statusCode, 204)
      assert.equal(preflight.headers['access-control-allow-origin'], '*')
      for (const method of ['POST', 'PUT', 'DELETE'] as const) {
        const answer = await app.inject({ method, url })
        assert.equal(answer.statusCode, 405)
        assert.match(`${answer.headers.allow}`, /GET/)
      }
    })

    it('many at once', async (t) => {
      const app = await appOf(t, mode)
      const answers = await Promise.all(
        Array.from({ length: 30 }, (_, n) => {
          const headers = { range: `bytes=${n * 1000}-${n * 1000 + 2_000_000}` }
          return app.inject({ url: '/files/large.bin', headers })
        })
      )
      for (const [n, answer] of answers.entries()) {
        assert.equal(answer.statusCode, 206)
        const expected = large.subarray(n * 1000, n * 1000 + 2_000_001)
        assert.ok(answer.rawPayload.equals(expected))
      }
    })
  })
}

/** The body of multipart/byteranges, byte for byte, as it leaves the socket. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import { contentOf } from '../support/contents.ts'
import { RawClient } from '../support/raw-client.ts'
import { serve, tempFolder } from '../support/serve.ts'

const size = 3 * 2 ** 20

for (const mode of ['mmap', 'read']) {
  it(`begins with CRLF before the first boundary and is as long as it says, ${mode}`, async (t) => {
    const root = tempFolder(t)
    fs.writeFileSync(join(root, 'file.bin'), contentOf(0, 0, size))
    const { origin } = await serve(t, root, ['--mode', mode])
    const client = RawClient.connect(t, origin)
    for (const ranges of [
      [
        [0, 1],
        [5, 9]
      ],
      [
        [100, 2_000_000],
        [2_500_000, 2_500_001],
        [2_700_000, size]
      ],
      Array.from({ length: 40 }, (_, n) => [n * 1000, n * 1000 + n + 1] as const)
    ] as readonly (readonly (readonly [number, number])[])[]) {
      const field = ranges.map(([start, end]) => `${start}-${end - 1}`).join(', ')
      client.get('/files/file.bin', { Range: `bytes=${field}` })
      // a second answer right behind it shows that the length is exact
      client.get('/files/file.bin', { Range: 'bytes=7-8' })
      const answer = await client.answer()
      assert.equal(answer?.status, 206)
      assert.equal(answer.headers.has('content-range'), false)
      const type = answer.headers.get('content-type') ?? ''
      const boundary = /^multipart\/byteranges; ?boundary="?([^"]+)"?$/.exec(type)?.[1]
      assert.ok(boundary !== undefined, type)
      const parts = ranges.flatMap(([start, end]) => [
        Buffer.from(
          `\r\n--${boundary}\r\nContent-Type: application/octet-stream\r\n` +
            `Content-Range: bytes ${start}-${end - 1}/${size}\r\n\r\n`
        ),
        contentOf(0, start, end)
      ])
      const expected = Buffer.concat([...parts, Buffer.from(`\r\n--${boundary}--\r\n`)])
      const begin = answer.body.subarray(0, 80).toString('latin1')
      assert.ok(answer.body.equals(expected), `begins with ${JSON.stringify(begin)}`)
      assert.equal(answer.contentLength, expected.length)
      const next = await client.answer()
      assert.equal(next?.status, 206)
      assert.ok(next.body.equals(contentOf(0, 7, 9)))
    }
  })
}

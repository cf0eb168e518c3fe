/** Which requests a log has. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { fileOf, parseLine, readTrace } from '#src/advise/trace.ts'
import { tempFolder } from '../../support/serve.ts'

const nginx = (request: string, rest: string) =>
  `192.0.2.1 - - [25/Nov/2026:04:00:00 +0000] "${request}" ${rest}`

describe('a line of a log', () => {
  const f = (text: string, expected: ReturnType<typeof parseLine>) =>
    it(text.slice(0, 120), () => assert.deepEqual(parseLine(text), expected))
  const answered = (target: string, range?: string) => ({ target, range, isAnswered: true })

  f('{"path":"/files/a.bin","range":"bytes=0-99"}', answered('/files/a.bin', 'bytes=0-99'))
  f(
    '{"level":30,"reqId":"x","method":"GET","path":"/files/a.bin","status":206,"range":"bytes=-5"}',
    answered('/files/a.bin', 'bytes=-5')
  )
  f('{"method":"GET","path":"/a","status":200}', answered('/a'))
  f('{"method":"HEAD","path":"/a","status":200}', {
    target: '/a',
    range: undefined,
    isAnswered: false
  })
  f('{"method":"GET","path":"/a","status":416,"range":"bytes=9-"}', {
    target: '/a',
    range: 'bytes=9-',
    isAnswered: false
  })
  f('{"msg":"listening"}', undefined)
  f('{"path":"/a"', undefined)
  f('{', undefined)
  f('not a request', undefined)
  f(
    nginx('GET /a.bin HTTP/1.1', '206 100 "-" "curl/8" "bytes=0-99"'),
    answered('/a.bin', 'bytes=0-99')
  )
  f(
    nginx('GET /a.bin HTTP/2.0', '206 9 "https://x/?y" "M (X; bytes) z" "bytes=0-1, 5-6"'),
    answered('/a.bin', 'bytes=0-1, 5-6')
  )
  f(nginx('GET /a.bin HTTP/1.1', '206 100 bytes=100-'), answered('/a.bin', 'bytes=100-'))
  f(nginx('GET /a.bin HTTP/1.1', '200 100 "-" "curl/8" "-"'), answered('/a.bin'))
  f(nginx('POST /a.bin HTTP/1.1', '206 1 "bytes=0-0"'), {
    target: '/a.bin',
    range: 'bytes=0-0',
    isAnswered: false
  })

  it('any text is a line, and none throws', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          fc.string().map((s) => `{${s}`)
        ),
        (text) => {
          parseLine(text)
        }
      )
    )
  })
})

describe('the file that a request is for', () => {
  const files = ['/srv/a/x.bin', '/srv/b/x.bin', '/srv/b/y z.bin'].map((path) => ({
    path,
    size: 9
  }))

  it('is the one whose path ends alike by most names', () => {
    assert.equal(fileOf('/files/a/x.bin', files), 0)
    assert.equal(fileOf('/files/b/x.bin?v=1', files), 1)
    assert.equal(fileOf('/x.bin', files), 0)
    assert.equal(fileOf('/b/y%20z.bin', files), 2)
    assert.equal(fileOf('/b/other.bin', files), undefined)
    assert.equal(fileOf('/%ff/x.bin', files), 0)
  })
})

describe('a log', () => {
  it('gives the ranges of the files, in order, and counts what it leaves out', async (t) => {
    const log = path.join(tempFolder(t), 'access.log')
    const lines = [
      '{"method":"GET","path":"/files/a.bin","status":206,"range":"bytes=10-19"}',
      nginx('GET /a.bin HTTP/1.1', '206 100 "-" "x" "bytes=90-"'),
      '{"method":"GET","path":"/files/a.bin","status":200}',
      '{"method":"GET","path":"/files/other.bin","status":206,"range":"bytes=0-9"}',
      '{"method":"GET","path":"/files/a.bin","status":206,"range":"bytes=500-600"}',
      'nonsense',
      ''
    ]
    fs.writeFileSync(log, lines.join('\n'))
    const trace = await readTrace(log, [{ path: '/srv/a.bin', size: 100 }])
    assert.deepEqual(trace, {
      requests: [
        { file: 0, pieces: [[10, 10]] },
        { file: 0, pieces: [[90, 10]] },
        { file: 0, pieces: [] }
      ],
      others: 2,
      unknown: 1
    })
  })
})

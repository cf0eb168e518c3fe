import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import path from 'node:path'
import { before, describe, it, type TestContext } from 'node:test'
import fc from 'fast-check'
import { projectFolder } from '../support/project.ts'
import {
  get,
  type Lifetime,
  patternBytes,
  raw,
  type Serving,
  serve,
  suiteLifetime,
  tempFolder,
  writePattern
} from '../support/serve.ts'

const KiB = 1024
const MiB = 1024 * KiB

const everyMode = [
  ['--mode', 'mmap'],
  ['--mode', 'mmap', '--guard', 'off'],
  ['--mode', 'read']
]

for (const args of everyMode) {
  describe(`the bytes of a file, ${args.join(' ')}`, () => {
    // regions far smaller than the file, and windows than the ranges
    const tight = [...args, '--region-bytes', '256KiB', '--window-bytes', '64KiB']
    const size = 3 * MiB + 123

    it('are those of any single range', async (t) => {
      const { url, root } = await serveFiles(t, tight)
      const bytes = writePattern(path.join(root, 'f'), size)
      const agent = keepAlive(t)
      await fc.assert(
        fc.asyncProperty(fc.nat(size - 1), fc.nat(400 * KiB), async (start, length) => {
          const end = Math.min(start + length + 1, size)
          const headers = { range: `bytes=${start}-${end - 1}` }
          const answer = await get(`${url}f`, { headers, agent })
          assert.equal(answer.status, 206)
          assert.equal(answer.headers['content-range'], `bytes ${start}-${end - 1}/${size}`)
          assert.equal(answer.headers['content-length'], `${end - start}`)
          assert.ok(answer.body.equals(bytes.subarray(start, end)))
        }),
        { numRuns: 150 }
      )
    })

    it('are those of any set of ranges', async (t) => {
      const { url, root } = await serveFiles(t, tight)
      const bytes = writePattern(path.join(root, 'f'), size)
      const agent = keepAlive(t)
      const spec = fc.tuple(fc.nat(size - 1), fc.nat(100 * KiB))
      await fc.assert(
        fc.asyncProperty(fc.array(spec, { minLength: 2, maxLength: 9 }), async (specs) => {
          const range = `bytes=${specs.map(([start, more]) => `${start}-${start + more}`)}`
          const { status, headers, body } = await get(`${url}f`, { headers: { range }, agent })
          assert.equal(status, 206)
          const parts = partsOf(headers, body)
          for (const { start, end, content } of parts) {
            assert.ok(content.equals(bytes.subarray(start, end)), `${start}-${end}`)
          }
          for (const [start, more] of specs) {
            const end = Math.min(start + more + 1, size)
            assert.ok(parts.some((part) => part.start <= start && end <= part.end))
          }
        }),
        { numRuns: 60 }
      )
    })

    it('are whole without a Range, and none for an empty file', async (t) => {
      const { url, root } = await serveFiles(t, tight)
      const bytes = writePattern(path.join(root, 'f'), size)
      fs.writeFileSync(path.join(root, 'empty'), '')
      const whole = await get(`${url}f`)
      assert.equal(whole.status, 200)
      assert.ok(whole.body.equals(bytes))
      const empty = await get(`${url}empty`)
      assert.deepEqual([empty.status, empty.headers['content-length']], [200, '0'])
      const range = await get(`${url}empty`, { headers: { range: 'bytes=0-' } })
      assert.deepEqual([range.status, range.headers['content-range']], [416, 'bytes */0'])
    })

    it('come in order to 100 requests in one packet', async (t) => {
      const { url, origin, root } = await serveFiles(t, args)
      const bytes = writePattern(path.join(root, 'f'), 64 * KiB)
      writePattern(path.join(root, 'g'), 64 * KiB)
      await get(`${url}f`)
      const requests = Array.from({ length: 100 }, (_, i) => {
        const last = i === 99 ? 'Connection: close\r\n' : ''
        // known and unknown files, resident and not, and errors between them
        const name = i % 10 === 3 ? 'g' : i % 10 === 7 ? 'none' : 'f'
        return `GET /files/${name} HTTP/1.1\r\nHost: x\r\nRange: bytes=${i * 600}-${i * 600 + 499}\r\n${last}\r\n`
      })
      const answers = messagesOf(await raw(origin, requests.join('')))
      assert.equal(answers.length, 100)
      for (const [i, { status, body }] of answers.entries()) {
        assert.equal(status, i % 10 === 7 ? 404 : 206)
        if (status === 206) assert.ok(body.equals(bytes.subarray(i * 600, i * 600 + 500)), `${i}`)
      }
    })
  })

  describe(`answers, ${args.join(' ')}`, () => {
    let server: Served
    let etag = ''
    let lastModified = ''
    const lifetime = suiteLifetime()
    before(async () => {
      server = await serveFiles(lifetime, args)
      writePattern(path.join(server.root, 'f'), 1000)
      // the same second as far as HTTP can say, but not a whole one
      fs.utimesSync(path.join(server.root, 'f'), 1_700_000_000.25, 1_700_000_000.25)
      const { headers } = await get(`${server.url}f`, { method: 'HEAD' })
      etag = headers.etag ?? ''
      lastModified = headers['last-modified'] ?? ''
    })
    const ask = (headers: http.OutgoingHttpHeaders, method = 'GET') => {
      return get(`${server.url}f`, { headers, method })
    }

    it('carry what a range client needs', async () => {
      for (const headers of [{}, { range: 'bytes=0-9' }] as const) {
        const answer = await ask(headers)
        assert.equal(answer.headers['accept-ranges'], 'bytes')
        assert.match(answer.headers.etag ?? '', /^"[\x21\x23-\x7e]+"$/)
        assert.equal(answer.headers['last-modified'], 'Tue, 14 Nov 2023 22:13:20 GMT')
        assert.equal(answer.headers['content-type'], 'application/octet-stream')
        assert.equal(answer.headers['content-length'], `${answer.body.length}`)
        assert.equal(answer.headers['cache-control'], 'public, max-age=0, must-revalidate')
        assert.equal(answer.headers['x-content-type-options'], 'nosniff')
        assert.equal(answer.headers['access-control-allow-origin'], '*')
        assert.equal(
          answer.headers['access-control-expose-headers'],
          'Accept-Ranges, Content-Range, Content-Length, ETag, Last-Modified, Date'
        )
        assert.ok(answer.headers.date)
        const names = answer.rawHeaders.filter((_, i) => i % 2 === 0).map((n) => n.toLowerCase())
        assert.equal(new Set(names).size, names.length, 'no header comes twice')
      }
    })

    // what four well-known packages get wrong, each row of it
    const kept: readonly [string, http.OutgoingHttpHeaders, number, number, number][] = [
      [
        'a suffix longer than the file is the whole of it (§14.1.2)',
        r('bytes=-2000'),
        206,
        0,
        1000
      ],
      ['bytes=-500 are the last 500', r('bytes=-500'), 206, 500, 1000],
      ['bytes=0-0 is one byte', r('bytes=0-0'), 206, 0, 1],
      ['bytes=5-2 is invalid and ignored', r('bytes=5-2'), 200, 0, 1000],
      ['bytes=0-5x is invalid and ignored', r('bytes=0-5x'), 200, 0, 1000],
      ['another unit is ignored (§14.2)', r('items=0-5'), 200, 0, 1000],
      ['the unit is compared without case (§14.1)', r('BYTES=0-5'), 206, 0, 6],
      ['an open range reaches the end', r('bytes=990-'), 206, 990, 1000],
      ['a last position behind the end is the end', r('bytes=990-99999'), 206, 990, 1000],
      ['2^53 is legal input', r('bytes=990-9007199254740993'), 206, 990, 1000],
      ['2^64 is legal input', r('bytes=990-18446744073709551616'), 206, 990, 1000],
      ['a suffix of 2^64 is the whole file', r('bytes=-18446744073709551616'), 206, 0, 1000],
      ['several that cover the file are a 200', r('bytes=0-599,400-999'), 200, 0, 1000],
      ['overlapping ones are merged to one', r('bytes=0-99,50-149'), 206, 0, 150],
      ['one of two is satisfiable: no multipart (§15.3.7.2)', r('bytes=0-9,5000-'), 206, 0, 10],
      ['empty list elements are nothing', r('bytes=,, 0-9 ,'), 206, 0, 10],
      ['more than --max-ranges are ignored', r(`bytes=${manyRanges(65)}`), 200, 0, 1000]
    ]
    for (const [name, headers, status, start, end] of kept) {
      it(name, async () => {
        const answer = await ask(headers)
        assert.equal(answer.status, status)
        assert.equal(
          answer.headers['content-range'],
          status === 206 ? `bytes ${start}-${end - 1}/1000` : undefined
        )
        assert.ok(answer.body.equals(patternBytes(start, end)))
      })
    }

    it('bytes=0-9,20-29 are two parts with an exact length', async () => {
      const { status, headers, body } = await ask(r('bytes=0-9,20-29'))
      assert.equal(status, 206)
      assert.equal(headers['content-range'], undefined)
      assert.equal(headers['content-length'], `${body.length}`)
      assert.deepEqual(
        partsOf(headers, body).map(({ start, end }) => [start, end]),
        [
          [0, 10],
          [20, 30]
        ]
      )
    })

    it('HEAD ignores Range, and has the headers of GET (§9.3.2, §14.2)', async () => {
      const head = await ask(r('bytes=0-9'), 'HEAD')
      const whole = await ask({})
      assert.equal(head.status, 200)
      assert.equal(head.body.length, 0)
      const { date: _headDate, ...ofHead } = head.headers
      const { date: _date, ...ofGet } = whole.headers
      assert.deepEqual(ofHead, ofGet)
    })

    for (const range of [
      'bytes=1000-',
      'bytes=-0',
      'bytes=18446744073709551616-',
      'bytes=1000-,-0'
    ]) {
      it(`${range} cannot be satisfied (§15.5.17)`, async () => {
        const { status, headers, body } = await ask(r(range))
        assert.equal(status, 416)
        assert.equal(headers['content-range'], 'bytes */1000')
        assert.equal(headers['accept-ranges'], 'bytes')
        assertError(headers, body, 416)
      })
    }

    it('If-Range: only the very validator keeps the range (§13.1.5)', async () => {
      const statusWith = async (ifRange: string) => {
        return (await ask({ ...r('bytes=0-9'), 'if-range': ifRange })).status
      }
      assert.equal(await statusWith(etag), 206)
      assert.equal(await statusWith(lastModified), 206)
      assert.equal(await statusWith(`W/${etag}`), 200, 'a weak tag never matches')
      assert.equal(await statusWith(`"x", ${etag}`), 200, 'merely contained')
      assert.equal(await statusWith(etag.slice(0, -2)), 200)
      assert.equal(await statusWith('Tue, 14 Nov 2023 22:13:21 GMT'), 200, 'later')
      assert.equal(await statusWith('nonsense'), 200)
    })

    it('If-Match and If-Unmodified-Since fail with 412 (§13.1.1, §13.1.4)', async () => {
      const statusWith = async (headers: http.OutgoingHttpHeaders) => (await ask(headers)).status
      assert.equal(await statusWith({ 'if-match': etag }), 200)
      assert.equal(await statusWith({ 'if-match': '*' }), 200)
      assert.equal(await statusWith({ 'if-match': `"x", ${etag}` }), 200)
      assert.equal(await statusWith({ 'if-match': `W/${etag}` }), 412, 'weak: never')
      assert.equal(await statusWith({ 'if-unmodified-since': lastModified }), 200)
      assert.equal(
        await statusWith({ 'if-unmodified-since': 'Mon, 13 Nov 2023 22:13:20 GMT' }),
        412
      )
      const failed = await ask({ ...r('bytes=0-9'), 'if-match': '"x"' })
      assert.equal(failed.headers.etag, etag)
      assertError(failed.headers, failed.body, 412)
    })

    it('If-None-Match and If-Modified-Since answer 304 without a body (§13.1.2, §15.4.5)', async () => {
      for (const headers of [
        { 'if-none-match': etag },
        { 'if-none-match': `W/${etag}` },
        { 'if-none-match': '*' },
        { 'if-modified-since': lastModified },
        { 'if-modified-since': 'Tuesday, 14-Nov-23 22:13:20 GMT' },
        { ...r('bytes=0-9'), 'if-none-match': etag }
      ]) {
        const answer = await ask(headers)
        assert.equal(answer.status, 304)
        assert.equal(answer.body.length, 0)
        assert.equal(answer.headers.etag, etag)
        assert.equal(answer.headers['cache-control'], 'public, max-age=0, must-revalidate')
        assert.equal(answer.headers['content-length'], undefined)
      }
      assert.equal(
        (await ask({ 'if-none-match': '"x"', 'if-modified-since': lastModified })).status,
        200
      )
    })

    it('OPTIONS tells what is allowed, other methods are 405', async () => {
      const options = await ask({}, 'OPTIONS')
      assert.deepEqual([options.status, options.headers.allow], [204, 'GET, HEAD, OPTIONS'])
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'TRACE', 'PROPFIND', 'LOCK']) {
        const { status, headers, body } = await ask({ 'content-length': '0' }, method)
        assert.deepEqual([status, headers.allow], [405, 'GET, HEAD, OPTIONS'], method)
        assertError(headers, body, 405)
      }
    })

    it('a method with a body of a type that nobody knows is 405 as well', async () => {
      const { status } = await get(`${server.url}f`, {
        method: 'POST',
        headers: { 'content-type': 'x/y', 'content-length': '3' },
        body: 'abc'
      })
      assert.equal(status, 405)
    })
  })
}

describe('paths', () => {
  it('in any disguise stay below the root', async (t) => {
    const outside = tempFolder(t)
    const root = path.join(outside, 'root')
    fs.mkdirSync(path.join(root, 'sub'), { recursive: true })
    fs.writeFileSync(path.join(outside, 'secret'), 'SECRET')
    fs.writeFileSync(path.join(root, 'sub', 'f'), 'fine')
    fs.writeFileSync(path.join(root, '.hidden'), 'SECRET')
    const { origin, log } = await serve(t, root)
    for (const target of [
      '/files/../secret',
      '/files/sub/../../secret',
      '/files/%2e%2e/secret',
      '/files/%2E%2E/secret',
      '/files/.%2e/secret',
      '/files/..%2fsecret',
      '/files/..%2Fsecret',
      '/files/sub/..%2f..%2fsecret',
      '/files/%252e%252e/secret',
      '/files/..%252fsecret',
      '/files/..\\secret',
      '/files/..%5csecret',
      '/files/%c0%ae%c0%ae/secret',
      '/files/%c0%ae%c0%ae%c0%afsecret',
      '/files/%uff0e%uff0e/secret',
      '/files/..;/secret',
      '/files//secret',
      '/files//etc/passwd',
      '/files/%2fetc/passwd',
      '/files/./../secret',
      '/files/sub/./f',
      '/files/sub//f',
      '/files/sub/f/',
      '/files/sub/f%00',
      '/files/sub/f%00.png',
      '/files/%',
      '/files/%zz',
      '/files/sub/%ff',
      '/files/sub',
      '/files/',
      '/files',
      '/files/.hidden',
      '/files/%2ehidden',
      '/FILES/sub/f',
      '/%66iles/../../secret',
      '/../secret',
      '/sub/f',
      `/files/${'a'.repeat(300)}`,
      `/files/${'a/'.repeat(3000)}f`,
      'http://x/files/../secret',
      'http://x'
    ]) {
      const bytes = await raw(
        origin,
        `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`
      )
      const [answer] = messagesOf(bytes)
      assert.ok(answer && [400, 404].includes(answer.status), `${target}: ${answer?.status}`)
      assert.ok(!bytes.includes('SECRET'), target)
      assert.ok(!bytes.includes(outside), `${target} shows a path of the machine`)
    }
    const absolute = await raw(
      origin,
      'GET http://x/files/sub/f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
    )
    assert.ok(absolute.includes('fine'), 'absolute form (RFC 9112 §3.2.2)')
    const paths = log.filter(({ msg }) => msg !== 'listening' && msg !== 'access')
    assert.ok(!JSON.stringify(paths).includes(outside), 'the log names paths below the root')
  })

  it('are decoded once, as UTF-8, and without their query', async (t) => {
    const { url, root } = await serveFiles(t)
    const names = [
      'a b',
      'ä%41',
      '%2e%2e',
      'x?y#z',
      'back\\slash',
      '日本.pmtiles',
      "q'(1)!",
      '...',
      'a..b'
    ]
    for (const name of names) {
      fs.writeFileSync(path.join(root, name), name)
      // names of dots only are dotfiles
      const expected = name === '...' ? 404 : 200
      const answer = await get(`${url}${encodeURIComponent(name)}?v=../1`)
      assert.equal(answer.status, expected, name)
      if (expected === 200) assert.equal(answer.body.toString(), name)
    }
  })

  it('of dotfiles are served by option', async (t) => {
    const { url, root } = await serveFiles(t, ['--dotfiles', 'allow'])
    fs.mkdirSync(path.join(root, '.well-known'))
    fs.writeFileSync(path.join(root, '.well-known', '.zarray'), '{}')
    const { status, headers } = await get(`${url}.well-known/.zarray`)
    assert.deepEqual([status, headers['content-type']], [200, 'application/json'])
  })

  it('through symbolic links are followed below the root only, or not at all', async (t) => {
    const outside = tempFolder(t)
    fs.writeFileSync(path.join(outside, 'secret'), 'SECRET')
    const link = (root: string) => {
      fs.mkdirSync(path.join(root, 'sub'))
      fs.writeFileSync(path.join(root, 'sub', 'f'), 'fine')
      fs.writeFileSync(path.join(root, '.hidden'), 'SECRET')
      fs.symlinkSync('sub/f', path.join(root, 'inside'))
      fs.symlinkSync('sub', path.join(root, 'folder'))
      fs.symlinkSync(path.join(outside, 'secret'), path.join(root, 'out'))
      fs.symlinkSync(outside, path.join(root, 'outfolder'))
      fs.symlinkSync('loop', path.join(root, 'loop'))
      fs.symlinkSync('nothing', path.join(root, 'dangling'))
      fs.symlinkSync('.hidden', path.join(root, 'unhidden'))
    }
    for (const [option, followed] of [
      ['within', 200],
      ['deny', 404]
    ] as const) {
      const { url, root } = await serveFiles(t, ['--symlinks', option])
      link(root)
      assert.equal((await get(`${url}sub/f`)).status, 200)
      assert.equal((await get(`${url}inside`)).status, followed)
      assert.equal((await get(`${url}folder/f`)).status, followed)
      for (const name of ['out', 'outfolder/secret', 'loop', 'dangling']) {
        const { status, body } = await get(`${url}${name}`)
        assert.equal(status, 404, name)
        assert.ok(!body.includes(outside))
      }
    }
  })

  it('of what is no regular file are 404 at once, and nothing is opened that could block', async (t) => {
    const { url, root } = await serveFiles(t)
    const fifo = path.join(root, 'fifo')
    execFileSync('mkfifo', [fifo])
    fs.mkdirSync(path.join(root, 'folder'))
    const socket = net.createServer().listen(path.join(root, 'socket'))
    t.after(() => socket.close())
    const devices: string[] = []
    try {
      execFileSync('mknod', [path.join(root, 'device'), 'c', '1', '5'], { stdio: 'ignore' })
      devices.push('device')
    } catch {
      // only root makes devices
    }
    for (const name of ['fifo', 'folder', 'socket', ...devices]) {
      // twice: known ones must not be remembered as files
      assert.equal((await get(`${url}${name}`)).status, 404, name)
      assert.equal((await get(`${url}${name}`)).status, 404, name)
    }
    const writer = () => fs.openSync(fifo, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK)
    assert.throws(writer, { code: 'ENXIO' }, 'nobody reads the FIFO')
  })
})

describe('cross-origin access', () => {
  const preflight = {
    origin: 'https://maps.example',
    'access-control-request-method': 'GET',
    'access-control-request-headers': 'range, if-match, if-none-match'
  }

  it('answers a preflight for any origin', async (t) => {
    const { url } = await serveFiles(t)
    const { status, headers } = await get(`${url}f`, { method: 'OPTIONS', headers: preflight })
    assert.equal(status, 204)
    assert.equal(headers['access-control-allow-origin'], '*')
    assert.match(headers['access-control-allow-methods'] ?? '', /GET/)
    for (const name of ['range', 'if-match', 'if-none-match', 'if-range']) {
      const allowed = headers['access-control-allow-headers']?.toLowerCase() ?? ''
      assert.ok(allowed.split(/, */).includes(name), name)
    }
  })

  it('is on errors too, so that a page can see them', async (t) => {
    const { url } = await serveFiles(t)
    const { status, headers } = await get(`${url}none`, {
      headers: { origin: 'https://a.example' }
    })
    assert.deepEqual([status, headers['access-control-allow-origin']], [404, '*'])
  })

  it('is for the listed origins alone, and says that it varies', async (t) => {
    const { url, root } = await serveFiles(t, [
      '--cors-origin',
      'https://a.example,https://b.example'
    ])
    fs.writeFileSync(path.join(root, 'f'), 'abc')
    for (const [origin, allowed] of [
      ['https://a.example', 'https://a.example'],
      ['https://b.example', 'https://b.example'],
      ['https://c.example', undefined]
    ] as const) {
      for (const method of ['GET', 'OPTIONS']) {
        const { headers } = await get(`${url}f`, { method, headers: { ...preflight, origin } })
        assert.equal(headers['access-control-allow-origin'], allowed)
        assert.match(headers.vary ?? '', /Origin/i)
      }
    }
  })

  it('can be off', async (t) => {
    const { url, root } = await serveFiles(t, ['--cors-origin', 'off'])
    fs.writeFileSync(path.join(root, 'f'), 'abc')
    const { headers } = await get(`${url}f`, { headers: { origin: 'https://a.example' } })
    assert.ok(!Object.keys(headers).some((name) => name.startsWith('access-control')))
  })
})

describe('requests that are wrong', () => {
  it('by their syntax are 400, by their headers 431, by their target 414, and the service goes on', async (t) => {
    const { url, origin, root } = await serveFiles(t)
    fs.writeFileSync(path.join(root, 'f'), 'abc')
    for (const [bytes, status] of [
      ['nonsense\r\n\r\n', 400],
      ['GET /files/f HTTP/1.1\r\n\r\n', 400],
      ['GET /files/f HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n', 400],
      [`GET /files/f HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`, 431],
      [`GET /files/${'y'.repeat(20_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 414]
    ] as const) {
      const [answer] = messagesOf(await raw(origin, bytes))
      assert.equal(answer?.status, status, bytes.slice(0, 40))
    }
    assert.equal((await get(`${url}f`)).status, 200)
  })

  it('by a Range that came twice or holds rubbish get the whole file', async (t) => {
    const { url, root } = await serveFiles(t)
    fs.writeFileSync(path.join(root, 'f'), 'abc')
    for (const range of [
      'bytes=0-0, bytes=1-1',
      'bytes',
      'bytes=',
      '=0-1',
      'bytes=a-b',
      'bytes 0-1',
      ''
    ]) {
      const { status, body } = await get(`${url}f`, { headers: { range } })
      assert.deepEqual([status, body.toString()], [200, 'abc'], range)
    }
  })
})

describe('metrics and files', () => {
  it('share a port without hiding each other', async (t) => {
    const { url, origin, root } = await serveFiles(t, ['--prefix', '/'])
    fs.writeFileSync(path.join(root, 'f'), 'abc')
    assert.equal((await get(`${url}f`)).status, 200)
    assert.equal((await get(`${origin}/healthz`)).status, 200)
    const { status, headers } = await get(`${url}f`, { method: 'OPTIONS' })
    assert.deepEqual([status, headers.allow], [204, 'GET, HEAD, OPTIONS'])
    assert.equal((await get(`${url}f`, { method: 'PUT' })).status, 405)
  })
})

describe('the sample', () => {
  it('is served unchanged', async (t) => {
    const sample = path.join(projectFolder, 'sample')
    const { url } = await serve(t, sample)
    const names = fs.readdirSync(sample)
    assert.ok(names.length >= 5)
    for (const name of names) {
      const { status, body } = await get(url + name)
      assert.equal(status, 200)
      assert.equal(sha256(body), sha256(fs.readFileSync(path.join(sample, name))), name)
    }
  })
})

interface Served extends Serving {
  readonly root: string
}

async function serveFiles(t: Lifetime, args: readonly string[] = []): Promise<Served> {
  const root = tempFolder(t)
  return { ...(await serve(t, root, args)), root }
}

function r(range: string): http.OutgoingHttpHeaders {
  return { range }
}

/** Ranges of one byte, apart from each other. */
function manyRanges(count: number): string {
  return Array.from({ length: count }, (_, i) => `${i * 3}-${i * 3}`).join()
}

function keepAlive(t: TestContext): http.Agent {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })
  t.after(() => agent.destroy())
  return agent
}

/** The shape of @fastify/sensible's errors, and no path of the machine. */
function assertError(headers: http.IncomingHttpHeaders, body: Buffer, status: number): void {
  assert.match(headers['content-type'] ?? '', /^application\/json/)
  assert.equal(headers['content-length'], `${body.length}`)
  const error = JSON.parse(body.toString()) as Record<string, unknown>
  assert.deepEqual(Object.keys(error).sort(), ['error', 'message', 'statusCode'])
  assert.equal(error.statusCode, status)
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

interface Message {
  readonly status: number
  readonly headers: Map<string, string>
  readonly body: Buffer
}

/** A sequence of HTTP/1.1 responses with Content-Length, as they stand on the wire. */
function messagesOf(bytes: Buffer): Message[] {
  const messages: Message[] = []
  let at = 0
  while (at < bytes.length) {
    const endOfHead = bytes.indexOf('\r\n\r\n', at)
    assert.ok(endOfHead >= 0, 'a head without an end')
    const [statusLine = '', ...lines] = bytes.toString('latin1', at, endOfHead).split('\r\n')
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(':')
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
      })
    )
    const start = endOfHead + 4
    const end = start + Number(headers.get('content-length') ?? 0)
    messages.push({
      status: Number(statusLine.split(' ')[1]),
      headers,
      body: bytes.subarray(start, end)
    })
    at = end
  }
  return messages
}

/** The parts of multipart/byteranges (RFC 9110 §14.6), or the only part of a single range. */
function partsOf(
  headers: http.IncomingHttpHeaders,
  body: Buffer
): { start: number; end: number; content: Buffer }[] {
  const boundary = /^multipart\/byteranges; boundary=(\S+)$/.exec(
    headers['content-type'] ?? ''
  )?.[1]
  if (boundary === undefined) {
    const [start, end] = halfOpen(headers['content-range'] ?? '')
    return [{ start, end, content: body }]
  }
  const parts: { start: number; end: number; content: Buffer }[] = []
  let at = 0
  for (;;) {
    const delimiter: string = `\r\n--${boundary}`
    assert.equal(body.toString('latin1', at, at + delimiter.length), delimiter)
    at += delimiter.length
    if (body.toString('latin1', at) === '--\r\n') return parts
    const endOfHead = body.indexOf('\r\n\r\n', at)
    const head = body.toString('latin1', at, endOfHead)
    const [start, end] = halfOpen(/^content-range: (.+)$/im.exec(head)?.[1] ?? '')
    at = endOfHead + 4
    parts.push({ start, end, content: body.subarray(at, at + end - start) })
    at += end - start
  }
}

function halfOpen(contentRange: string): [number, number] {
  const match = /^bytes (\d+)-(\d+)\/\d+$/.exec(contentRange)
  assert.ok(match, contentRange)
  return [Number(match[1]), Number(match[2]) + 1]
}

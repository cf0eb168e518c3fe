/** Heads that are read below node:http: only those of which there is one reading, and it is that of node:http. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { type Reason, type RequestHead, readHead } from '#src/fast-path/request-head.ts'
import { anyHead } from '../../support/request-bytes.ts'

const fieldNames = [
  'range',
  'if-range',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'origin'
] as const

function read(text: string, start = 0): RequestHead | Reason {
  return readHead(Buffer.from(text, 'latin1'), start)
}

function accepted(text: string): RequestHead {
  const head = read(text)
  assert.ok(typeof head !== 'string', `${head}: ${JSON.stringify(text)}`)
  return head
}

/** A request for /f with these fields and a Host. */
function withFields(...lines: string[]): string {
  return `GET /f HTTP/1.1\r\nHost: x\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`
}

describe('a head is read here', () => {
  for (const [title, text, target] of [
    ['the shortest', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', '/'],
    ['HEAD', 'HEAD /f HTTP/1.1\r\nHost: x\r\n\r\n', '/f'],
    ['a query', 'GET /f?a=b/c?d&e HTTP/1.1\r\nHost: x\r\n\r\n', '/f?a=b/c?d&e'],
    ['percent-encoding', 'GET /%2e%zz% HTTP/1.1\r\nHost: x\r\n\r\n', '/%2e%zz%'],
    [
      'every other character of a path',
      "GET /a-._~!$&'()*+,;=:@ HTTP/1.1\r\nHost: x\r\n\r\n",
      "/a-._~!$&'()*+,;=:@"
    ],
    ['dot segments', 'GET /../a//b HTTP/1.1\r\nHost: x\r\n\r\n', '/../a//b'],
    ['Host in any case', 'GET /f HTTP/1.1\r\nhOsT: x\r\n\r\n', '/f'],
    ['no blank before a value', 'GET /f HTTP/1.1\r\nHost:x\r\n\r\n', '/f'],
    ['blanks and tabs around a value', 'GET /f HTTP/1.1\r\nHost: \t x \t\r\n\r\n', '/f'],
    ['a port', 'GET /f HTTP/1.1\r\nHost: maps.example:65535\r\n\r\n', '/f'],
    ['an address', 'GET /f HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n', '/f'],
    [
      'fields without a meaning here',
      withFields('Accept: */*', 'Cookie: a=b', 'Cookie: c=d', 'X:'),
      '/f'
    ],
    [
      'names of the length of known ones',
      withFields('Ranges: a', 'Rang_: b', 'Hos~: c', 'I\u0046-range: d'),
      '/f'
    ],
    ['keep-alive', withFields('Connection: keep-alive'), '/f'],
    ['keep-alive in capitals', withFields('CONNECTION: Keep-Alive'), '/f'],
    ['close', withFields('Connection: close'), '/f'],
    ['100 fields', withFields(...Array.from({ length: 99 }, (_, i) => `X-${i}: y`)), '/f'],
    ['8 KiB', withFields(`X: ${'y'.repeat(8192 - 33)}`), '/f']
  ] as const) {
    it(title, () => {
      const head = accepted(text)
      assert.equal(head.method, text.slice(0, text.indexOf(' ')))
      assert.equal(head.target, target)
      assert.equal(head.end, text.length)
    })
  }

  it('from any place in the bytes', () => {
    const bytes = withFields('Range: bytes=0-1')
    const head = read(`${bytes}${bytes}GET`, bytes.length)
    assert.ok(typeof head !== 'string')
    assert.equal(head.end, 2 * bytes.length)
    assert.equal(head.fields.range, 'bytes=0-1')
  })

  it('with the fields that an answer depends on', () => {
    const lines = fieldNames.map((name, i) => `${i % 2 ? name : name.toUpperCase()}: \tv ${i}\t `)
    const { fields } = accepted(withFields(...lines))
    for (const [i, name] of fieldNames.entries()) assert.equal(fields[name], `v ${i}`, name)
    assert.equal(accepted(withFields('Range:  ')).fields.range, '', 'an empty value is a value')
    assert.equal(accepted(withFields()).fields.range, undefined)
  })
})

describe('a head is handed over', () => {
  const odd: readonly [title: string, text: string, reason: Reason][] = [
    ['nothing', '', 'incomplete'],
    ['less than a method', 'GE', 'incomplete'],
    ['no end of the target', 'GET /f', 'incomplete'],
    ['no end of the start line', 'GET /f HTTP/1.1\r', 'incomplete'],
    ['no fields', 'GET /f HTTP/1.1\r\n', 'incomplete'],
    ['a name that ends with the bytes', 'GET /f HTTP/1.1\r\nHost', 'incomplete'],
    ['a value that ends with the bytes', 'GET /f HTTP/1.1\r\nHost: x', 'incomplete'],
    ['half of a line end', 'GET /f HTTP/1.1\r\nHost: x\r', 'incomplete'],
    ['no empty line', 'GET /f HTTP/1.1\r\nHost: x\r\n', 'incomplete'],
    ['half of the empty line', 'GET /f HTTP/1.1\r\nHost: x\r\n\r', 'incomplete'],
    ['more than 8 KiB', withFields(`X: ${'y'.repeat(8192 - 32)}`), 'incomplete'],
    ['a long target', `GET /${'f'.repeat(9000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 'incomplete'],
    ['another method', 'POST /f HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['OPTIONS', 'OPTIONS /f HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['a method that begins like GET', 'GETS /f HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['a method in small letters', 'get /f HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['a line end before the start line', '\r\nGET /f HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['a blank before the start line', ' GET /f HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['two blanks', 'GET  /f HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['two blanks before the version', 'GET /f  HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['a tab', 'GET\t/f HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['HTTP/1.0', 'GET /f HTTP/1.0\r\nHost: x\r\n\r\n', 'start-line'],
    ['HTTP/2', 'GET /f HTTP/2.0\r\nHost: x\r\n\r\n', 'start-line'],
    ['HTTP/0.9', 'GET /f\r\n\r\n'.padEnd(40), 'start-line'],
    ['a version in small letters', 'GET /f http/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['a blank behind the version', 'GET /f HTTP/1.1 \r\nHost: x\r\n\r\n', 'start-line'],
    ['a bare LF behind the version', 'GET /f HTTP/1.1\nHost: x\r\n\r\n', 'start-line'],
    ['absolute form', 'GET http://x/f HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['asterisk form', 'GET * HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['no target', 'GET  HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['a fragment', 'GET /f#a HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['a character that a URI has not', 'GET /f"{} HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['a backslash', 'GET /\\f HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['a byte beyond ASCII in the target', 'GET /\xe9 HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['NUL in the target', 'GET /f\0 HTTP/1.1\r\nHost: x\r\n\r\n', 'start-line'],
    ['no Host', 'GET /f HTTP/1.1\r\nAccept: x\r\n\r\n', 'field'],
    ['no field at all', 'GET /f HTTP/1.1\r\n\r\n', 'field'],
    ['two Hosts', withFields('Host: x'), 'field'],
    ...[
      '',
      'a b',
      'x:',
      'x:65536',
      'x:123456',
      'x:8o',
      'x:1:2',
      ':80',
      'user@x',
      'x,y',
      'x/y',
      'x?',
      '%78',
      '[::1',
      '[::1]x',
      '[]',
      '[::1%1]',
      '[x]',
      '[1.2.3.4]',
      '::1'
    ].map((host): [string, string, Reason] => [
      `Host: ${host}`,
      `GET /f HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
      'field'
    ]),
    ...fieldNames.map((name): [string, string, Reason] => [
      `${name} twice`,
      withFields(`${name}:`, 'A: b', `${name.toUpperCase()}: y`),
      'field'
    ]),
    ...[
      'Connection: close, keep-alive',
      'Connection: keep-alive\r\nConnection: keep-alive',
      'Connection: keep-alive\r\nConnection: close',
      'Connection:',
      'Connection: keep-alive, upgrade',
      'Connection: keep-alive,keep-alive',
      'Content-Length: 0',
      'content-length: 5',
      'Transfer-Encoding: chunked',
      'Expect: 100-continue',
      'Upgrade: h2c',
      'HTTP2-Settings: x',
      'TE: trailers',
      'Trailer: x',
      'Proxy-Connection: keep-alive',
      'Keep-Alive: timeout=5'
    ].map((line): [string, string, Reason] => [line, withFields(line), 'field']),
    ['two request ids', withFields('X-Request-Id: a', 'x-request-id: a'), 'field'],
    ['two lists of addresses', withFields('X-Forwarded-For: a', 'X-Forwarded-For: b'), 'field'],
    ['101 fields', withFields(...Array(100).fill('X: y')), 'field'],
    ['a folded line', withFields('A: b', ' c'), 'syntax'],
    ['a blank before the colon', withFields('A : b'), 'syntax'],
    ['a line without a colon', withFields('A'), 'syntax'],
    ['a field without a name', withFields(': b'), 'syntax'],
    ['a name with a character that tokens have not', withFields('A(b): c'), 'syntax'],
    ['a name beyond ASCII', withFields('\xc4: c'), 'syntax'],
    ['obs-text in a value', withFields('A: \xe4'), 'syntax'],
    ['NUL in a value', withFields('A: b\0c'), 'syntax'],
    ['DEL in a value', withFields('A: b\x7fc'), 'syntax'],
    ['a bare LF', withFields('A: b\nC: d'), 'syntax'],
    ['a bare CR in a value', withFields('A: b\rC: d'), 'syntax'],
    ['a bare CR before a name', withFields('\rA: b'), 'syntax'],
    ['an empty line of LF alone', 'GET /f HTTP/1.1\r\nHost: x\r\n\nGET', 'syntax'],
    ['two CR', 'GET /f HTTP/1.1\r\nHost: x\r\r\n\r\n', 'syntax']
  ]
  for (const [title, text, reason] of odd) {
    it(`${reason}: ${title}`, () => {
      assert.equal(read(text), reason)
    })
  }
})

describe('who asks', () => {
  it('is read where the log wants it; of several fields the first counts', () => {
    const lines = ['User-Agent: a', 'Referer:  b ', 'User-Agent: c', 'X-Request-Id: d']
    const bytes = Buffer.from(withFields(...lines))
    const [wanted, unwanted] = [readHead(bytes, 0, true), readHead(bytes, 0)]
    assert.ok(typeof wanted !== 'string' && typeof unwanted !== 'string')
    const { 'user-agent': userAgent, referer, 'x-request-id': id } = wanted.fields
    assert.deepEqual([userAgent, referer, id], ['a', 'b', 'd'])
    assert.equal(unwanted.fields['user-agent'], undefined)
    assert.equal(unwanted.fields.referer, undefined)
    assert.equal(unwanted.fields['x-request-id'], 'd')
  })
})

describe('for all bytes', () => {
  it('reading never throws, from any place, and ends within the bytes', () => {
    const anything = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
      anyHead(),
      fc
        .tuple(anyHead(), fc.nat(400), fc.nat(255))
        .map(([head, at, byte]) => Buffer.from(head.map((old, i) => (i === at ? byte : old))))
    )
    fc.assert(
      fc.property(anything, fc.nat(20), (bytes, start) => {
        const head = readHead(bytes, start)
        if (typeof head === 'string') return
        assert.ok(head.end > start && head.end <= bytes.length)
        assert.equal(bytes.toString('latin1', head.end - 4, head.end), '\r\n\r\n')
      }),
      { numRuns: 10_000 }
    )
  })

  it('a head that is cut is never accepted, and one before other bytes is the same head', () => {
    let acceptedHeads = 0
    fc.assert(
      fc.property(anyHead(), fc.uint8Array({ maxLength: 50 }), (bytes, more) => {
        const head = readHead(bytes, 0)
        if (typeof head === 'string') return
        acceptedHeads++
        for (let end = 0; end < head.end; end++) {
          assert.equal(readHead(bytes.subarray(0, end), 0), 'incomplete')
        }
        assert.deepEqual(readHead(Buffer.concat([bytes.subarray(0, head.end), more]), 0), head)
      }),
      { numRuns: 2000 }
    )
    assert.ok(acceptedHeads > 400, `${acceptedHeads} accepted`)
  })
})

describe('node:http reads the same', () => {
  let requests: http.IncomingMessage[] = []
  const server = http.createServer((request, response) => {
    requests.push(request)
    response.end()
  })
  let client: net.Socket
  const connect = () => {
    client = net.connect((server.address() as AddressInfo).port, '127.0.0.1')
  }
  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    connect()
  })
  after(() => {
    client.destroy()
    server.closeAllConnections()
    server.close()
  })

  it('in what is accepted: method, target, and the fields that an answer depends on', async () => {
    let acceptedHeads = 0
    const check = async (bytes: Buffer) => {
      const head = readHead(bytes, 0)
      if (typeof head === 'string') return
      acceptedHeads++
      requests = []
      const answered = once(client, 'data', { signal: AbortSignal.timeout(5000) })
      client.write(bytes.subarray(0, head.end))
      assert.match(String(await answered), /^HTTP\/1\.1 200 /)
      assert.equal(requests.length, 1)
      const [request] = requests as [http.IncomingMessage]
      assert.equal(request.method, head.method)
      assert.equal(request.url, head.target)
      assert.equal(request.httpVersion, '1.1')
      for (const name of fieldNames) assert.equal(request.headers[name], head.fields[name], name)
      assert.equal(request.headers['content-length'], undefined)
      assert.equal(request.headers['transfer-encoding'], undefined)
      assert.equal(request.headers.connection?.toLowerCase() === 'close', head.closes)
      if (head.closes) connect()
    }
    await fc.assert(fc.asyncProperty(anyHead(), check), { numRuns: 5000 })
    assert.ok(acceptedHeads > 1000, `${acceptedHeads} accepted`)
  })
})

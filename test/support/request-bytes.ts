/** Requests as bytes, right and wrong, for properties: what clients send, and what nobody should. */
import fc from 'fast-check'

/** Picked again and again, so that ordinary things are common and odd ones are there. */
function mostly(
  common: readonly string[],
  odd: readonly string[],
  weight = 12
): fc.Arbitrary<string> {
  return fc.oneof(
    { weight, arbitrary: fc.constantFrom(...common) },
    { weight: 1, arbitrary: fc.constantFrom(...odd) }
  )
}

const oddTargets = [
  '*',
  '',
  'http://x/files/f',
  'HTTP://x/files/f?q',
  'http://x',
  'http:///files/f',
  'x:80',
  '/files/f#x',
  '/files/f"',
  '/files/{f}',
  '/files/\xe9',
  '/files/f\0',
  '/files/f\x7f',
  '/files/\\f'
]

/** Values of Host, most of them plain. */
const host = mostly(
  ['x', 'localhost', '127.0.0.1:8080', 'maps.example.org', '[::1]:80', 'a_b-c.d:1'],
  ['', 'a b', 'x:99999', 'x:', '[::1', 'u@x', 'x/y', '\xe9', 'x,y', '%20'],
  25
)

const blanks = mostly([' '], ['', '  ', '\t', ' \t '], 3)
const lineEnd = mostly(['\r\n'], ['\n', '\r', '\r\r\n', '\r\n ', '\r\n\t', '\0\r\n'], 150)

const harmless = [
  'Accept: */*',
  'User-Agent: Mozilla/5.0 (X11; Linux x86_64)',
  'Accept-Encoding: identity',
  'Cookie: a=b; c=d',
  'Referer: http://x/',
  'Cache-Control: no-cache',
  'Sec-Fetch-Mode: cors',
  'X-Empty:',
  'Content-Type: text/plain',
  'Accept-Version: 2.x',
  'Forwarded: for=1.2.3.4',
  'Via: 1.1 proxy',
  'X-HTTP-Method-Override: DELETE',
  'Access-Control-Request-Method: GET'
]
const meaningful = [
  'Connection: close',
  'Connection: keep-alive',
  'Connection: Keep-Alive',
  'Connection: keep-alive, x',
  'Connection: upgrade',
  'Connection:',
  'Keep-Alive: timeout=5',
  'TE: trailers',
  'Trailer: x',
  'Expect: 100-continue',
  'Expect: nothing',
  'Upgrade: websocket',
  'HTTP2-Settings: x',
  'Proxy-Connection: close',
  'X-Request-Id: abc',
  'X-Request-Id: 5f0e8a1c-1d2b-4a7f-9c55-2b7d4b1f8a10',
  'x-request-id: a b',
  'X-Request-Id:',
  'X-Forwarded-For: 192.0.2.1',
  'Content-Length: 0',
  'Content-Length: x',
  'Content-Length: -1',
  'Content-Length: 0, 0',
  'Transfer-Encoding: identity',
  'Transfer-Encoding: x',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: ',
  'Content-Length : 0'
]
const malformed = [
  'A : b',
  'A',
  ': b',
  'A(b): c',
  '\xc4: c',
  'A: \xe4\xff',
  'A: b\0c',
  'A: b\x7fc',
  'A: b\x01c',
  ' A: b',
  '\tA: b',
  'A: b\nC: d',
  'A: b\rC: d',
  ''
]

const rangeValues = [
  'bytes=0-0',
  'bytes=0-99',
  'bytes=10-',
  'bytes=-5',
  'bytes=-0',
  'bytes=5-2',
  'bytes=0-0,5-9',
  'bytes=0-9, 20-29 ,-3',
  'bytes=0-99999999999999999999',
  'bytes=999999999-',
  'BYTES=1-2',
  'bytes=',
  'bytes =0-1',
  'bytes= 0-1',
  'bytes=0-1,',
  'items=0-1',
  'bytes=a-b',
  'bytes',
  '',
  '\t bytes=3-4 \t'
]

/** What conditional fields can be compared with: the validators of a file, or others. */
export interface KnownValidators {
  readonly etag: string
  readonly lastModified: string
}

const unknownValidators: KnownValidators = {
  etag: '"1-abc"',
  lastModified: 'Tue, 14 Nov 2023 22:13:20 GMT'
}

function conditionalField({ etag, lastModified }: KnownValidators): fc.Arbitrary<string> {
  const etags = fc.constantFrom(
    etag,
    `W/${etag}`,
    '*',
    '"other"',
    `"other", ${etag}`,
    `${etag},`,
    '',
    'no quotes'
  )
  const dates = fc.constantFrom(
    lastModified,
    'Tue, 14 Nov 2000 22:13:20 GMT',
    'Fri, 14 Nov 2036 22:13:20 GMT',
    'Tuesday, 14-Nov-23 22:13:20 GMT',
    'no date',
    ''
  )
  return fc
    .oneof(
      fc.tuple(fc.constantFrom('If-Match', 'If-None-Match', 'if-none-match'), etags),
      fc.tuple(fc.constantFrom('If-Modified-Since', 'If-Unmodified-Since'), dates),
      fc.tuple(fc.constant('If-Range'), fc.oneof(etags, dates))
    )
    .map(([name, value]) => `${name}: ${value}`)
}

/** A field and what it says, without its line end. */
function fieldLine(validators: KnownValidators): fc.Arbitrary<string> {
  const range = fc
    .tuple(fc.constantFrom('Range', 'range', 'RANGE'), blanks, fc.constantFrom(...rangeValues))
    .map(([name, blank, value]) => `${name}:${blank}${value}`)
  const origin = fc
    .constantFrom('https://a.example', 'https://b.example', 'https://c.example', 'null', '')
    .map((value) => `Origin: ${value}`)
  return fc.oneof(
    { weight: 30, arbitrary: range },
    { weight: 30, arbitrary: conditionalField(validators) },
    { weight: 30, arbitrary: fc.constantFrom(...harmless) },
    { weight: 6, arbitrary: origin },
    { weight: 3, arbitrary: fc.constantFrom(...meaningful) },
    { weight: 1, arbitrary: fc.constantFrom(...malformed) }
  )
}

export interface HeadOptions {
  readonly targets: readonly string[]
  readonly validators: KnownValidators
}

/** A body, with the field that announces it. */
const body = fc.constantFrom(
  ['Content-Length: 3', 'abc'],
  ['Content-Length: 0', ''],
  ['Transfer-Encoding: chunked', '3\r\nabc\r\n0\r\n\r\n'],
  ['Transfer-Encoding: chunked', '0\r\n\r\n'],
  ['Transfer-Encoding: chunked', 'x\r\n'],
  ['transfer-encoding: Chunked', '1;a=b\r\nx\r\n0\r\nTrailer: y\r\n\r\n'],
  ['Content-Length: 3\r\nContent-Length: 3', 'abc'],
  ['Content-Length: 4\r\nTransfer-Encoding: chunked', '0\r\n\r\n']
)

/** A request of which there is one reading, for a file. */
export function plainRequest({ targets, validators }: HeadOptions): fc.Arbitrary<Buffer> {
  const range = fc.constantFrom(...rangeValues).map((value) => `Range: ${value}`)
  const line = fc.oneof(range, conditionalField(validators), fc.constantFrom(...harmless))
  return fc
    .record({
      method: fc.constantFrom('GET', 'GET', 'GET', 'HEAD'),
      target: fc.constantFrom(...targets),
      lines: fc.uniqueArray(line, {
        maxLength: 6,
        selector: (line) => line.slice(0, line.indexOf(':')).toLowerCase()
      }),
      origin: fc.constantFrom(
        '',
        '',
        'Origin: https://a.example\r\n',
        'Origin: https://c.example\r\n'
      )
    })
    .map(({ method, target, lines, origin }) => {
      const fields = lines.map((line) => `${line}\r\n`).join('')
      return Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: x\r\n${fields}${origin}\r\n`)
    })
}

/** One request: most plain, many with something odd about them. */
export function requestBytes({ targets, validators }: HeadOptions): fc.Arbitrary<Buffer> {
  const startLine = fc.tuple(
    mostly(['GET', 'GET', 'GET', 'HEAD'], ['POST', 'OPTIONS', 'PUT', 'get', 'GETX', 'PRI', ''], 15),
    mostly([' '], ['  ', '\t', ''], 150),
    mostly(targets, oddTargets, 20),
    mostly(
      ['HTTP/1.1'],
      ['HTTP/1.0', 'HTTP/0.9', 'HTTP/2.0', 'HTTP/1.2', 'http/1.1', 'HTTP/1.1 ', ''],
      30
    )
  )
  const hosts = fc.oneof(
    { weight: 20, arbitrary: fc.tuple(host) },
    { weight: 1, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.tuple(host, host) }
  )
  return fc
    .record({
      startLine,
      hosts,
      lines: fc.array(fieldLine(validators), { maxLength: 6 }),
      hostAt: fc.nat(6),
      ends: fc.infiniteStream(lineEnd),
      body: fc.oneof(
        { weight: 30, arbitrary: fc.constant(undefined) },
        { weight: 1, arbitrary: body }
      ),
      before: mostly([''], ['\r\n', '\n', '\r\n\r\n', ' '], 60)
    })
    .map(({ startLine, hosts, lines, hostAt, ends, body, before }) => {
      const [method, blank, target, version] = startLine
      const all = [...lines]
      all.splice(Math.min(hostAt, all.length), 0, ...hosts.map((value) => `Host: ${value}`))
      if (body !== undefined) all.push(body[0] as string)
      const end = () => ends.next().value as string
      const head = [`${method}${blank}${target} ${version}`, ...all]
      const text = head.map((line) => line + end()).join('')
      return Buffer.from(`${before}${text}${end()}${body?.[1] ?? ''}`, 'latin1')
    })
}

/** A head alone, of which about half are plain. */
export function anyHead(): fc.Arbitrary<Buffer> {
  return requestBytes({
    targets: ['/files/f', '/', '/files/a%20b?x=y', '/files/../f', '//f', '/healthz'],
    validators: unknownValidators
  })
}

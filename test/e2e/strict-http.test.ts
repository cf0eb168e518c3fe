/** Requests that could be read in two ways are refused; what is legal is served. Below node:http and above it. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { raw, serve, suiteLifetime, tempFolder, writePattern } from '../support/serve.ts'

const smuggled = 'what nobody asked for'
const chunkedAlone = 'Transfer-Encoding: chunked'
const twoReadings = pairsWithTwoReadings()

for (const fastPath of ['on', 'off']) {
  describe(`strict HTTP, fast path ${fastPath}`, () => {
    const t = suiteLifetime()
    const root = tempFolder(t)
    const content = writePattern(path.join(root, 'f'), 1000)
    writeFileSync(path.join(root, 'smuggled'), smuggled)
    const serving = serve(t, root, ['--fast-path', fastPath])

    /** @returns the statuses of all that came back until the connection was closed */
    async function statuses(text: string): Promise<string[]> {
      return statusesOf(await raw((await serving).origin, Buffer.from(text, 'latin1')))
    }

    const get = 'GET /files/f HTTP/1.1\r\n'
    const behind = 'GET /files/f HTTP/1.1\r\nHost: x\r\n\r\n'
    const refused: readonly (readonly [what: string, request: string, status: string])[] = [
      ['two Host fields', `${get}Host: x\r\nHost: y\r\n\r\n`, '400'],
      ['two equal Host fields', `${get}Host: x\r\nhost: x\r\n\r\n`, '400'],
      ['no Host', `${get}\r\n`, '400'],
      ['two Host fields in HTTP/1.0', 'GET /files/f HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n', '400'],
      ['a Host with a blank', `${get}Host: x y\r\n\r\n`, '400'],
      ['a Host with a path', `${get}Host: x/y\r\n\r\n`, '400'],
      ['a Host with a user', `${get}Host: u@x\r\n\r\n`, '400'],
      ['a Host with two ports', `${get}Host: x:80:80\r\n\r\n`, '400'],
      ['a Host beyond ASCII', `${get}Host: \xe9\r\n\r\n`, '400'],
      ['an unknown coding', `${get}Host: x\r\nTransfer-Encoding: x\r\n\r\n`, '501'],
      ['identity', `${get}Host: x\r\nTransfer-Encoding: identity\r\n\r\n`, '501'],
      [
        'a coding in front of chunked',
        `POST /files/f HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
        '501'
      ],
      [
        'a coding behind chunked',
        `${get}Host: x\r\nTransfer-Encoding: chunked, x\r\n\r\n0\r\n\r\n`,
        '501'
      ],
      [
        'a coding in HTTP/1.0',
        'GET /files/f HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
        '400'
      ],
      [
        'Content-Length and Transfer-Encoding',
        `${get}Host: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
        '400'
      ],
      [
        'Transfer-Encoding and Content-Length',
        `${get}Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n`,
        '400'
      ],
      ['two lengths', `${get}Host: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n`, '400'],
      ['a list of lengths', `${get}Host: x\r\nContent-Length: 0, 0\r\n\r\n`, '400'],
      ['a signed length', `${get}Host: x\r\nContent-Length: +0\r\n\r\n`, '400'],
      ['a blank before the colon', `${get}Host: x\r\nContent-Length : 0\r\n\r\n`, '400'],
      ['a folded coding', `${get}Host: x\r\nTransfer-Encoding:\r\n chunked\r\n\r\n`, '400'],
      ['HTTP/0.9 by name', 'GET /files/f HTTP/0.9\r\nHost: x\r\n\r\n', '400|505'],
      ['HTTP/2.0 by name', 'GET /files/f HTTP/2.0\r\nHost: x\r\n\r\n', '400|505'],
      ['a version that is none', 'GET /files/f HTTP/1.2\r\nHost: x\r\n\r\n', '400'],
      ['a target of 14,000 characters', longTarget(14_000), '414'],
      ['a target of 20,000 characters', longTarget(20_000), '414'],
      ['fields of 20,000 characters', `${get}Host: x\r\nA: ${'a'.repeat(20_000)}\r\n\r\n`, '431']
    ]
    for (const [what, request, status] of refused) {
      it(`${what}: ${status}, and what stands behind it is no request`, async () => {
        // in front of it one of the fast path's own
        const [first, second = '', ...others] = await statuses(behind + request + behind)
        assert.equal(first, '200')
        assert.match(second, new RegExp(`^(${status})$`))
        assert.deepEqual(others, [])
      })
    }

    // scripts/check-proxies.mjs sends them through nginx and HAProxy
    it('what may be a body and may be a request is not answered as a request', async () => {
      const { origin } = await serving
      for (const method of ['GET', 'POST']) {
        for (const [fields, body] of twoReadings) {
          const head = `${method} /files/f HTTP/1.1\r\nHost: x\r\n${fields}\r\n\r\n`
          const answer = await raw(origin, Buffer.from(behind + head + body, 'latin1'))
          const [first, second = '', ...others] = statusesOf(answer)
          const what = JSON.stringify(`${method} ${fields}`)
          assert.equal(first, '200', what)
          if (fields === chunkedAlone) {
            // a file is sent without waiting for a body that nobody wanted
            assert.match(second, /^(200|400|405)$/, what)
            assert.ok(
              others.every((status) => status === '400'),
              `${what}: ${others}`
            )
          } else {
            assert.match(second, /^(400|501)$/, what)
            assert.deepEqual(others, [], what)
          }
          assert.ok(!answer.includes(smuggled), what)
        }
      }
    })

    it('HTTP/0.9 without a version gets no file', async () => {
      const answer = await raw((await serving).origin, 'GET /files/f\r\n\r\n')
      assert.match(answer.toString('latin1'), /^HTTP\/1\.1 (400|505) /)
      assert.ok(!answer.includes(content.subarray(0, 100)))
    })

    const close = 'Connection: close\r\n\r\n'
    const legal: readonly (readonly [what: string, request: string])[] = [
      ['absolute form', `GET http://x/files/f HTTP/1.1\r\nHost: x\r\n${close}`],
      ['absolute form, another Host', `GET http://x/files/f HTTP/1.1\r\nHost: y\r\n${close}`],
      ['HTTP/1.0 without Host', 'GET /files/f HTTP/1.0\r\n\r\n'],
      ['HTTP/1.0 with Host', 'GET /files/f HTTP/1.0\r\nHost: x\r\n\r\n'],
      ['a leading CRLF', `\r\n${get}Host: x\r\n${close}`],
      ['an empty Host', `${get}Host:\r\n${close}`],
      ['a Host in capitals, with a port', `${get}HOST: MAPS.EXAMPLE:8080\r\n${close}`],
      ['an IPv6 Host', `${get}Host: [::1]:8080\r\n${close}`],
      ['a target of 8,000 characters', longTarget(8000).replace('\r\n\r\n', `\r\n${close}`)]
    ]
    for (const [what, request] of legal) {
      it(`${what} is served`, async () => {
        const answer = await raw((await serving).origin, request)
        assert.match(answer.toString('latin1'), /^HTTP\/1\.1 200 OK\r\n/)
        assert.ok(answer.subarray(-1000).equals(content))
      })
    }

    it('a body that nobody wanted is not read as requests', async () => {
      const chunked = `4\r\n${get.slice(0, 4)}\r\n0\r\n\r\n`
      const request = `${get}Host: x\r\nTransfer-Encoding: chunked\r\n\r\n${chunked}`
      const last = `${get}Host: x\r\n${close}`
      assert.deepEqual(await statuses(request + last), ['200', '200'])
      const sized = `${get}Host: x\r\nContent-Length: ${behind.length}\r\n\r\n${behind}`
      assert.deepEqual(await statuses(sized + last), ['200', '200'])
    })
  })
}

function statusesOf(answers: Buffer): string[] {
  const found = answers.toString('latin1').matchAll(/HTTP\/1\.1 (\d{3}) /g)
  return [...found].map(([, status]) => status as string)
}

/**
 * Fields and a body, where a reader that is mistaken in the fields takes the end of the body for another request. All
 * are forbidden.
 * @see RFC 9112, section 6.3 and 7.1
 */
function pairsWithTwoReadings(): [fields: string, body: string][] {
  const inner = 'GET /files/smuggled HTTP/1.1\r\nHost: x\r\n\r\n'
  const chunked = `0\r\n\r\n${inner}`
  const length = `Content-Length: ${chunked.length}`
  return [
    [`${length}\r\nTransfer-Encoding: chunked`, chunked],
    [`Transfer-Encoding: chunked\r\n${length}`, chunked],
    ['Content-Length: 0\r\nTransfer-Encoding: chunked', chunked],
    [`${length}\r\nTransfer-Encoding : chunked`, chunked],
    [`${length}\r\nTransfer-Encoding: xchunked`, chunked],
    [`${length}\r\nTransfer-Encoding:\tchunked`, chunked],
    [`${length}\r\nTransfer-Encoding: \x0bchunked`, chunked],
    [`${length}\r\nX: y\r\n Transfer-Encoding: chunked`, chunked],
    [`${length}\r\nX: y\nTransfer-Encoding: chunked`, chunked],
    [`${length}\r\nX: y\rTransfer-Encoding: chunked`, chunked],
    ['Transfer-Encoding: chunked\r\nTransfer-Encoding: identity', chunked],
    ['Transfer-Encoding: identity, chunked', chunked],
    ['Transfer-Encoding: chunked, identity', chunked],
    [`Content-Length: 0\r\nContent-Length: ${inner.length}`, inner],
    [`Content-Length: ${inner.length}\r\nContent-Length: 0`, inner],
    [`Content-Length: 0, ${inner.length}`, inner],
    [`Content-Length: +${inner.length}`, inner],
    [`Content-Length: 0x${inner.length.toString(16)}`, inner],
    [`Content-Length : ${inner.length}`, inner],
    [chunkedAlone, `0\n\n${inner}`],
    [chunkedAlone, `0x0\r\n\r\n${inner}`],
    [chunkedAlone, `1\r\nx\r\n-0\r\n\r\n${inner}`]
  ]
}

/** Of a file that is there, with so many characters. */
function longTarget(length: number): string {
  const target = '/files/f?'.padEnd(length, 'q')
  return `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`
}

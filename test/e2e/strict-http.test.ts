/** Requests that could be read in two ways are refused; what is legal is served. Below node:http and above it. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { describe, it } from 'node:test'
import { raw, serve, suiteLifetime, tempFolder, writePattern } from '../support/serve.ts'

for (const fastPath of ['on', 'off']) {
  describe(`strict HTTP, fast path ${fastPath}`, () => {
    const t = suiteLifetime()
    const root = tempFolder(t)
    const content = writePattern(path.join(root, 'f'), 1000)
    const serving = serve(t, root, ['--fast-path', fastPath])

    /** @returns the statuses of all that came back until the connection was closed */
    async function statuses(text: string): Promise<string[]> {
      const answer = await raw((await serving).origin, Buffer.from(text, 'latin1'))
      return [...answer.toString('latin1').matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(
        ([, status]) => status as string
      )
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

/** Of a file that is there, with so many characters. */
function longTarget(length: number): string {
  const target = '/files/f?'.padEnd(length, 'q')
  return `GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`
}

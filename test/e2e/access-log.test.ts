/** Who was there: the access log and request ids, below node:http and above it, under clients who lie. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { metric } from '../support/metrics.ts'
import {
  get,
  makeOld,
  raw,
  type Serving,
  serve,
  suiteLifetime,
  tempFolder,
  until,
  writePattern
} from '../support/serve.ts'

type Line = Record<string, unknown>

async function lineOf({ log }: Serving, isIt: (line: Line) => boolean): Promise<Line> {
  const find = () => log.find((line) => line.msg === 'access' && isIt(line))
  await until('it is logged', () => find() !== undefined)
  return find() as Line
}

for (const fastPath of ['on', 'off']) {
  describe(`the access log, fast path ${fastPath}`, () => {
    const t = suiteLifetime()
    const root = tempFolder(t)
    writePattern(path.join(root, 'f'), 10_000)
    makeOld(path.join(root, 'f'))
    const serving = serve(t, root, [
      ...['--access-log', 'on', '--log-level', 'info', '--fast-path', fastPath],
      ...['--trust-proxy', '127.0.0.1, 10.0.0.0/8', '--cors-origin', 'off']
    ])

    it('has the documented fields, at level info', async () => {
      const server = await serving
      const headers = {
        range: 'bytes=5-99',
        'user-agent': 'a client',
        referer: 'https://a.example/page',
        'x-request-id': 'first-1'
      }
      const { headers: fields } = await get(`${server.url}f?x=1`, { headers })
      assert.equal(fields['x-request-id'], 'first-1')
      const { time, pid, hostname, ms, ...line } = await lineOf(
        server,
        ({ reqId }) => reqId === 'first-1'
      )
      assert.ok(Number(ms) > 0 && time !== undefined && pid !== undefined && hostname !== '')
      assert.deepEqual(line, {
        level: 30,
        reqId: 'first-1',
        remoteAddress: '127.0.0.1',
        method: 'GET',
        path: '/files/f?x=1',
        status: 206,
        range: 'bytes=5-99',
        bytes: 95,
        source: 'read',
        userAgent: 'a client',
        referer: 'https://a.example/page',
        outcome: 'complete',
        msg: 'access'
      })
    })

    it('has a line for each answer, whoever gives it, with an id that is echoed', async () => {
      const server = await serving
      const requests = [
        [200, 'f', 'GET', {}],
        [200, 'f', 'HEAD', {}],
        [206, 'f', 'GET', { range: 'bytes=0-0,9-9' }],
        [304, 'f', 'GET', { 'if-none-match': '*' }],
        [412, 'f', 'GET', { 'if-match': '"none"' }],
        [416, 'f', 'GET', { range: 'bytes=99999-' }],
        [404, 'none', 'GET', {}],
        [405, 'f', 'DELETE', {}],
        [204, 'f', 'OPTIONS', {}],
        [404, '../elsewhere', 'GET', {}],
        [400, 'f', 'GET', { host: 'a b' }]
      ] as const
      for (const [n, [status, name, method, headers]] of requests.entries()) {
        const id = `${n}-${status}`
        const answer = await get(server.url + name, {
          method,
          headers: { ...headers, 'x-request-id': id }
        })
        assert.equal(answer.status, status)
        assert.equal(answer.headers['x-request-id'], id)
        const line = await lineOf(server, ({ reqId }) => reqId === id)
        assert.deepEqual([line.status, line.method], [status, method])
      }
      // what cannot be read has no id
      assert.match((await raw(server.origin, 'nonsense\r\n\r\n')).toString(), /^HTTP\/1\.1 400 /)
      const line = await lineOf(server, ({ status, method }) => status === 400 && method === '')
      assert.equal(line.remoteAddress, '127.0.0.1')
    })

    it('makes an id where the client gives none, or one that is none', async () => {
      const server = await serving
      const ids = new Set<unknown>()
      for (const [n, id] of ['', 'a b', '<script>', 'x'.repeat(101), '"', 'a,b'].entries()) {
        const { headers } = await get(`${server.url}f?made${n}`, {
          headers: { 'x-request-id': id }
        })
        assert.equal(headers['x-request-id'], undefined)
        const line = await lineOf(server, ({ path }) => path === `/files/f?made${n}`)
        assert.match(String(line.reqId), /^req-[0-9a-f]{8}-[0-9a-z]+$/)
        ids.add(line.reqId)
      }
      assert.equal(ids.size, 6)
      const twice = 'GET /files/f?twice HTTP/1.1\r\nHost: x\r\nConnection: close\r\n'
      const bytes = await raw(server.origin, `${twice}X-Request-Id: a\r\nX-Request-Id: b\r\n\r\n`)
      assert.doesNotMatch(bytes.toString('latin1'), /^x-request-id/im)
    })

    it('believes a trusted proxy, and nothing that was written before it', async () => {
      const server = await serving
      const addressFor = async (name: string, forwarded: string) => {
        const headers = forwarded === '' ? {} : { 'x-forwarded-for': forwarded }
        await get(`${server.url}f?${name}`, { headers })
        return (await lineOf(server, ({ path }) => path === `/files/f?${name}`)).remoteAddress
      }
      assert.equal(await addressFor('none', ''), '127.0.0.1')
      assert.equal(await addressFor('plain', '203.0.113.9'), '203.0.113.9')
      assert.equal(await addressFor('chain', '6.6.6.6, 203.0.113.9, 10.1.1.1'), '203.0.113.9')
      assert.equal(await addressFor('nonsense', '6.6.6.6, unknown'), '127.0.0.1')
      const several =
        'GET /files/f?several HTTP/1.1\r\nHost: x\r\nConnection: close\r\n' +
        'X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 203.0.113.8\r\n\r\n'
      await raw(server.origin, several)
      const line = await lineOf(server, ({ path }) => path === '/files/f?several')
      assert.equal(line.remoteAddress, '203.0.113.8')
    })

    it('cannot be made to hold a line that a client wrote', async () => {
      const server = await serving
      const forged = '"}\\n{"level":30,"msg":"access","path":"/forged"}'
      const bytes = Buffer.from('\u0085\u009b31m\xe9', 'latin1').toString('latin1')
      const fields = [
        `User-Agent: ${forged}${bytes}`,
        `Referer: x\t${forged}\u009b`,
        'Range: bytes=0-0'
      ]
      const head = `GET /files/f?forged%0a%22}%0d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${fields.join('\r\n')}\r\n\r\n`
      await raw(server.origin, Buffer.from(head, 'latin1'))
      const line = await lineOf(server, (line) => String(line.path).startsWith('/files/f?forged'))
      assert.equal(line.userAgent, forged + bytes)
      assert.equal(line.path, '/files/f?forged%0a%22}%0d')
      // each line was parsed as JSON by this test already
      assert.ok(!server.log.some(({ path }) => path === '/forged'))
      const long = 'y'.repeat(5000)
      await get(`${server.url}f?long${long}`, { headers: { 'user-agent': long, referer: long } })
      const short = await lineOf(server, ({ path }) => String(path).startsWith('/files/f?long'))
      for (const field of ['path', 'userAgent', 'referer']) {
        assert.equal(String(short[field]).length, 513, field)
      }
    })
  })
}

it('a reader of stdout that stands still costs lines, and no answer', async (t) => {
  const root = tempFolder(t)
  writePattern(path.join(root, 'f'), 10)
  makeOld(path.join(root, 'f'))
  const server = await serve(t, root, ['--access-log', 'on', '--log-level', 'info'])
  server.child.stdout?.pause()
  const long = 'z'.repeat(500)
  const request =
    `GET /files/f?${long} HTTP/1.1\r\nHost: x\r\n` +
    `User-Agent: ${long}\r\nReferer: ${long}\r\n\r\n`
  const last = 'GET /files/f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'
  const answers = await raw(server.origin, request.repeat(4000) + last)
  assert.equal(answers.toString('latin1').split('HTTP/1.1 200 OK').length - 1, 4001)
  await until('lines were dropped', async () => {
    return (await metric(server.origin, 'log_lines_dropped_total')) > 0
  })
  assert.equal((await get(`${server.url}f`)).status, 200)
  server.child.kill('SIGTERM')
  assert.equal((await server.exited).code, 0)
})

it('who is not a trusted proxy is not believed, whatever it calls itself', async (t) => {
  const root = tempFolder(t)
  fs.writeFileSync(path.join(root, 'f'), 'abc')
  const options = ['--access-log', 'on', '--log-level', 'info', '--trust-proxy', '10.0.0.0/8']
  const server = await serve(t, root, options)
  const claims = [
    'X-Forwarded-For: 6.6.6.6',
    // also one that names a trusted proxy
    'X-Forwarded-For: 6.6.6.6, 10.0.0.1',
    'Forwarded: for=6.6.6.6',
    'X-Real-IP: 6.6.6.6',
    'X-Client-IP: 6.6.6.6',
    'True-Client-IP: 6.6.6.6',
    'CF-Connecting-IP: 6.6.6.6',
    'Via: 1.1 10.0.0.1'
  ]
  for (const [n, claim] of claims.entries()) {
    // on the fast path, and above it
    for (const method of ['GET', 'OPTIONS']) {
      const id = `${method}-${n}`
      const request = `${method} /files/f HTTP/1.1\r\nHost: x\r\nX-Request-Id: ${id}\r\n${claim}`
      await raw(server.origin, `${request}\r\nConnection: close\r\n\r\n`)
      const line = await lineOf(server, ({ reqId }) => reqId === id)
      assert.equal(line.remoteAddress, '127.0.0.1', claim)
      assert.ok(!JSON.stringify(line).includes('6.6.6.6'), claim)
    }
  }
  // the PROXY protocol is not spoken
  const spoken = 'PROXY TCP4 6.6.6.6 127.0.0.1 1 80\r\nGET /files/f HTTP/1.1\r\nHost: x\r\n\r\n'
  assert.match((await raw(server.origin, spoken)).toString(), /^HTTP\/1\.1 400 /)
})

it('without the option there is no line', async (t) => {
  const root = tempFolder(t)
  fs.writeFileSync(path.join(root, 'f'), 'abc')
  const server = await serve(t, root, ['--log-level', 'info'])
  const headers = { 'x-request-id': 'echoed' }
  assert.equal((await get(`${server.url}f`, { headers })).headers['x-request-id'], 'echoed')
  server.child.kill('SIGTERM')
  await server.exited
  assert.ok(!server.log.some(({ msg }) => msg === 'access'))
})

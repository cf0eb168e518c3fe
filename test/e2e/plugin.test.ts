/** The plugin in apps of Fastify: routes, hooks, errors, other plugins, TLS and HTTP/2, metrics, its end. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import path from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import bearerAuth from '@fastify/bearer-auth'
import rateLimit from '@fastify/rate-limit'
import fastify, { type FastifyInstance, type FastifyPluginAsync } from 'fastify'
import { Counter, Registry } from 'prom-client'
import { type MmapRangesOptions, mmapRanges } from '#src/plugin.ts'
import { contentOf } from '../support/contents.ts'
import { descriptors, mappedBytes, warm } from '../support/kernel-view.ts'
import { get, makeOld, tempFolder, until } from '../support/serve.ts'
import { certificate } from '../support/tls.ts'

const small = contentOf(0, 0, 10_000)
const large = contentOf(1, 0, 5 * 2 ** 20)

/** A folder with two files that are old and in memory. */
function folder(t: TestContext): string {
  const root = tempFolder(t)
  for (const [name, bytes] of [
    ['small.txt', small],
    ['large.bin', large]
  ] as const) {
    fs.writeFileSync(path.join(root, name), bytes)
    makeOld(path.join(root, name))
    warm(path.join(root, name))
  }
  return root
}

function closing<App extends { close(): Promise<unknown> }>(t: TestContext, app: App): App {
  t.after(() => app.close())
  return app
}

async function appOf(
  t: TestContext,
  options: Partial<MmapRangesOptions> = {}
): Promise<FastifyInstance> {
  const app = closing(t, fastify())
  await app.register(mmapRanges, { root: folder(t), ...options })
  return app
}

/** @returns the origin */
function listening(app: FastifyInstance): Promise<string> {
  return app.listen({ host: '127.0.0.1', port: 0 })
}

describe('the plugin: files', { timeout: 30_000 }, () => {
  it('serves ranges from mapped memory, and counts them in the registry of the app', async (t) => {
    const metrics = new Registry()
    const app = await appOf(t, { metrics })
    const origin = await listening(app)
    for (const [start, end] of [
      [0, 1],
      [5000, 10_000],
      [0, 10_000]
    ] as const) {
      const headers = { range: `bytes=${start}-${end - 1}` }
      const answer = await get(`${origin}/files/small.txt`, { headers })
      assert.equal(answer.status, 206)
      assert.equal(answer.headers['content-range'], `bytes ${start}-${end - 1}/10000`)
      assert.equal(answer.headers['content-type'], 'text/plain; charset=utf-8')
      assert.equal(answer.headers['cache-control'], 'public, max-age=0, must-revalidate')
      assert.equal(answer.headers['x-content-type-options'], 'nosniff')
      assert.match(`${answer.headers.etag}`, /^"/)
      assert.ok(answer.body.equals(small.subarray(start, end)))
    }
    const whole = await get(`${origin}/files/large.bin`)
    assert.equal(whole.status, 200)
    assert.ok(whole.body.equals(large))
    await app.close()
    const text = await metrics.metrics()
    assert.equal(text.trim(), '', 'what is closed leaves the registry')
  })

  it('names what is mapped in its metrics', async (t) => {
    const metrics = new Registry()
    const app = await appOf(t, { metrics })
    const origin = await listening(app)
    // the first time, a small range is copied
    for (const _ of [1, 2]) {
      await get(`${origin}/files/large.bin`, { headers: { range: 'bytes=0-9999' } })
    }
    const text = await metrics.metrics()
    assert.match(text, /^http_response_body_bytes_total\{source="mapped"\} 10000$/m)
    assert.match(text, /^range_server_info\{.*mapper="mmap-io"\} 1$/m)
    assert.match(
      text,
      /^http_request_duration_seconds_count\{method="GET",route="\/files\/\*",status_code="206",source="mapped"\} 1$/m
    )
    assert.doesNotMatch(text, /^(process_|nodejs_|fast_path_|range_server_workers)/m)
  })

  it('answers app.inject: 200, 206 of several parts, 304, HEAD', async (t) => {
    const app = await appOf(t)
    const whole = await app.inject('/files/large.bin')
    assert.equal(whole.statusCode, 200)
    assert.ok(whole.rawPayload.equals(large))
    const etag = `${whole.headers.etag}`
    const parts = await app.inject({
      url: '/files/small.txt',
      headers: { range: 'bytes=0-9,9000-9009' }
    })
    assert.equal(parts.statusCode, 206)
    assert.match(`${parts.headers['content-type']}`, /^multipart\/byteranges/)
    assert.ok(parts.rawPayload.includes(small.subarray(9000, 9010)))
    const url = '/files/large.bin'
    const same = await app.inject({ url, headers: { 'if-none-match': etag } })
    assert.deepEqual([same.statusCode, same.payload, same.headers.etag], [304, '', etag])
    const head = await app.inject({ method: 'HEAD', url })
    assert.deepEqual([head.statusCode, head.payload], [200, ''])
    assert.equal(head.headers['content-length'], `${large.length}`)
  })

  it('serves several roots of one app, each with its own options, and sums their metrics', async (t) => {
    const metrics = new Registry()
    const app = closing(t, fastify())
    const [first, second] = [folder(t), folder(t)]
    fs.writeFileSync(path.join(second, 'only.txt'), 'second')
    await app.register(mmapRanges, { root: first, prefix: '/a/', metrics })
    await app.register(mmapRanges, { root: second, prefix: '/b/', mode: 'read', metrics })
    app.get('/own', (_request, reply) => reply.sendRange('only.txt', { root: second }))
    const origin = await listening(app)
    assert.equal((await get(`${origin}/a/only.txt`)).status, 404)
    assert.equal((await get(`${origin}/b/only.txt`)).body.toString(), 'second')
    // a small file is kept when it is asked for again
    for (const _ of [1, 2]) {
      assert.equal((await get(`${origin}/own`)).body.toString(), 'second')
    }
    assert.ok((await get(`${origin}/a/large.bin`)).body.equals(large))
    assert.ok((await get(`${origin}/b/large.bin`)).body.equals(large))
    // of both, and of the root that a handler named; a file that was opened by a thread is kept too
    assert.match(await metrics.metrics(), /^open_files [34]$/m)
  })

  it('takes the prefix and the hooks of the context that it is registered in', async (t) => {
    const app = closing(t, fastify())
    const seen: string[] = []
    const versioned: FastifyPluginAsync = async (context) => {
      context.addHook('onRequest', async (request) => void seen.push(request.url))
      await context.register(mmapRanges, { root: folder(t) })
      context.get('/own', (_request, reply) => reply.sendRange('small.txt'))
    }
    await app.register(versioned, { prefix: '/v1' })
    app.get('/other', () => 'other')
    const origin = await listening(app)
    assert.ok((await get(`${origin}/v1/files/small.txt`)).body.equals(small))
    assert.ok((await get(`${origin}/v1/own`)).body.equals(small))
    await get(`${origin}/other`)
    assert.equal((await get(`${origin}/files/small.txt`)).status, 404)
    assert.deepEqual(seen, ['/v1/files/small.txt', '/v1/own'])
  })

  it('leaves names of the registry to the app that uses them, and says so', async (t) => {
    const metrics = new Registry()
    new Counter({
      name: 'http_request_duration_seconds',
      help: "the app's",
      registers: [metrics]
    }).inc(7)
    const lines: string[] = []
    const app = closing(t, fastify({ logger: { stream: { write: (line) => lines.push(line) } } }))
    await app.register(mmapRanges, { root: folder(t), metrics })
    const text = await metrics.metrics()
    assert.match(text, /^http_request_duration_seconds 7$/m)
    assert.match(text, /^open_files 0$/m)
    assert.match(lines.join(''), /http_request_duration_seconds/)
  })

  it('says what is wrong with an option', async (t) => {
    const root = folder(t)
    for (const [options, message] of [
      [{ root, chunkSize: 5 }, /chunkSize is not an option; there are root, prefix/],
      [{ root, windowBytes: 5 }, /windowBytes: 5 is not a size from 4KiB to 64MiB/],
      [{ root, prefix: 'files' }, /prefix: "files" is not a URL path that begins and ends with/],
      [{ root: `${root}/none` }, /root: .* is not a folder that exists/],
      [{ root: 5 }, /root: 5 is not a folder/],
      [{ root: {} }, /root: a value of the type object is not allowed/],
      [{}, /root is missing/]
    ] as const) {
      const app = closing(t, fastify())
      await assert.rejects(
        async () => app.register(mmapRanges, options as never),
        (error) => error instanceof TypeError && message.test(error.message)
      )
    }
  })
})

describe('the plugin: listings', { timeout: 30_000 }, () => {
  /** A folder of files that one may ask for, and of others. */
  function folders(t: TestContext): string {
    const root = folder(t)
    for (const name of ['maps/deep', 'secret']) {
      fs.mkdirSync(path.join(root, name), { recursive: true })
      fs.writeFileSync(path.join(root, name, 'in.txt'), name)
    }
    for (const name of ['.hidden', 'in.txt']) fs.writeFileSync(path.join(root, 'maps', name), '')
    return root
  }

  const json = { accept: 'application/json' }
  const namesIn = (payload: string) =>
    (JSON.parse(payload) as { name: string }[]).map(({ name }) => name)

  it('lists folders with the hooks of the app, below the prefix of its context', async (t) => {
    const app = closing(t, fastify())
    const payloads: unknown[] = []
    app.addHook('onRequest', async (request, reply) => {
      if (request.headers.authorization === undefined) return reply.code(401).send('who?')
    })
    app.addHook('onSend', async (_request, reply, payload) => {
      reply.header('x-app', 'yes')
      payloads.push(payload)
    })
    const context: FastifyPluginAsync = async (inner) => {
      await inner.register(mmapRanges, { root: folders(t), prefix: '/data/', index: 'on' })
    }
    await app.register(context, { prefix: '/v1' })
    const origin = await listening(app)
    const headers = { authorization: 'me' }
    assert.equal((await get(`${origin}/v1/data/`)).status, 401)
    payloads.length = 0
    const page = await get(`${origin}/v1/data/`, { headers })
    assert.deepEqual([page.status, page.headers['x-app'], payloads.length], [200, 'yes', 1])
    assert.match(page.body.toString(), /<title>Index of \/v1\/data\/<\/title>/)
    assert.equal(page.headers['content-length'], `${page.body.length}`)
    const again = { ...headers, 'if-none-match': `${page.headers.etag}` }
    assert.equal((await get(`${origin}/v1/data/`, { headers: again })).status, 304)
    const without = await get(`${origin}/v1/data/maps?a=1`, { headers })
    assert.deepEqual([without.status, without.headers.location], [301, '/v1/data/maps/?a=1'])
    const listed = await app.inject({ url: '/v1/data/maps/', headers: { ...headers, ...json } })
    assert.deepEqual(namesIn(listed.payload), ['deep', 'in.txt'])
  })

  it("lists what may be asked for; the app's handlers answer the rest", async (t) => {
    const app = closing(t, fastify())
    app.setNotFoundHandler((request, reply) => reply.code(404).send(`nothing at ${request.url}`))
    app.setErrorHandler((error: { statusCode: number; code: string }, _request, reply) =>
      reply.code(error.statusCode).send(`${error.code}`)
    )
    const asked: string[] = []
    await app.register(mmapRanges, {
      root: folders(t),
      index: true,
      allowedPath: (name) => {
        asked.push(name)
        return !/^(secret\/|large)/.test(name)
      }
    })
    app.get('/own', (_request, reply) => reply.sendRange('maps'))
    app.get('/files/own/', (_request, reply) => reply.sendRange('none'))
    const root = await app.inject({ url: '/files/', headers: json })
    assert.deepEqual(namesIn(root.payload), ['maps', 'small.txt'])
    assert.deepEqual(asked, ['', 'maps/', 'secret/', 'large.bin', 'small.txt'])
    for (const url of [
      ...['/files/secret/', '/files/secret', '/files/none/', '/files/maps//'],
      ...['/own', '/files/own/']
    ]) {
      const answer = await app.inject(url)
      assert.deepEqual([answer.statusCode, answer.payload], [404, `nothing at ${url}`])
    }
    const failed = await app.inject({ url: '/files/', headers: { 'if-match': '"other"' } })
    assert.deepEqual([failed.statusCode, failed.payload], [412, 'MMAP_RANGES_PRECONDITION_FAILED'])
  })

  it('lists nothing where it is not asked to', async (t) => {
    const app = await appOf(t, { root: folders(t) })
    for (const url of ['/files/', '/files/maps', '/files/maps/']) {
      assert.equal((await app.inject(url)).statusCode, 404)
    }
  })
})

describe('the plugin: the app around it', { timeout: 30_000 }, () => {
  it('runs every hook, in order, with the payload null', async (t) => {
    const app = closing(t, fastify())
    const seen: unknown[] = []
    app.addHook('onRequest', async () => void seen.push('onRequest'))
    app.addHook('preHandler', async () => void seen.push('preHandler'))
    app.addHook('onSend', async (_request, reply, payload) => {
      seen.push('onSend', payload, reply.statusCode, reply.getHeader('content-range'))
      reply.header('x-promise', 'yes').header('set-cookie', 'a=1').header('set-cookie', 'b=2')
    })
    app.addHook('onSend', (_request, reply, payload, done) => {
      reply.header('x-callback', 'yes').header('cache-control', 'no-store')
      // must come too late: they are the file's
      reply.header('content-length', '5').header('etag', '"other"')
      done(null, payload)
    })
    app.addHook(
      'onResponse',
      async (_request, reply) => void seen.push('onResponse', reply.statusCode)
    )
    // not awaited: the routes below come before the plugin has run
    app.register(mmapRanges, { root: folder(t) })
    app.get('/early', (_request, reply) => reply.sendRange('small.txt'))
    const origin = await listening(app)
    for (const url of ['/files/small.txt', '/early']) {
      seen.length = 0
      const answer = await get(`${origin}${url}`, { headers: { range: 'bytes=1-3' } })
      assert.equal(answer.status, 206)
      assert.ok(answer.body.equals(small.subarray(1, 4)))
      const { headers } = answer
      assert.deepEqual(
        [headers['x-promise'], headers['x-callback'], headers['set-cookie']],
        ['yes', 'yes', ['a=1', 'b=2']]
      )
      assert.equal(headers['cache-control'], 'no-store')
      assert.equal(headers['content-length'], '3')
      assert.notEqual(headers.etag, '"other"')
      const fields = answer.rawHeaders.filter((_, index) => index % 2 === 0)
      assert.equal(new Set(fields).size, fields.length - 1, `${fields}`)
      await until('onResponse ran', () => seen.includes('onResponse'))
      const range = 'bytes 1-3/10000'
      assert.deepEqual(seen, [
        'onRequest',
        'preHandler',
        'onSend',
        null,
        206,
        range,
        'onResponse',
        206
      ])
    }
  })

  it('refuses another payload of a hook before any byte, and what a hook throws', async (t) => {
    const app = closing(t, fastify())
    app.addHook('onSend', async (request, _reply, payload) => {
      if (payload !== null) return payload
      if (request.headers.fail === 'throw') throw new Error('the hook failed')
      return 'other bytes'
    })
    await app.register(mmapRanges, { root: folder(t) })
    const origin = await listening(app)
    for (const [fail, message] of [
      ['replace', /may not replace the bytes/],
      ['throw', /the hook failed/]
    ] as const) {
      const answer = await get(`${origin}/files/small.txt`, { headers: { fail } })
      assert.equal(answer.status, 500)
      assert.match(answer.body.toString(), message)
      assert.equal(answer.headers.etag, undefined)
      assert.equal(answer.headers['accept-ranges'], undefined)
      assert.match(`${answer.headers['content-type']}`, /json/)
    }
  })

  it("has errors answered by the app's handlers, without fields of the file", async (t) => {
    const app = closing(t, fastify())
    app.setNotFoundHandler((request, reply) => reply.code(404).send(`nothing at ${request.url}`))
    app.setErrorHandler((error: { statusCode: number; code: string }, _request, reply) =>
      reply.code(error.statusCode).send(`${error.code}`)
    )
    app.addHook('onSend', async () => undefined)
    await app.register(mmapRanges, {
      root: folder(t),
      setHeaders: (reply) => void reply.header('cache-control', 'immutable')
    })
    app.get('/own/:name', async (request, reply) => {
      const { name } = request.params as { name: string }
      return reply.sendRange(name)
    })
    const origin = await listening(app)
    for (const url of [
      '/files/none',
      '/files/..%2fx',
      '/files/',
      '/own/none',
      '/own/..%2f..%2fetc%2fpasswd'
    ]) {
      const raw = await app.inject(url)
      assert.deepEqual([raw.statusCode, raw.payload], [404, `nothing at ${url}`])
    }
    for (const [headers, status, text] of [
      [{ range: 'bytes=10000-' }, 416, 'MMAP_RANGES_RANGE_NOT_SATISFIABLE'],
      [{ 'if-match': '"other"' }, 412, 'MMAP_RANGES_PRECONDITION_FAILED']
    ] as const) {
      for (const url of ['/files/small.txt', '/files/small.txt', '/own/small.txt']) {
        const answer = await get(`${origin}${url}`, { headers })
        assert.deepEqual([answer.status, answer.body.toString()], [status, text])
        assert.equal(answer.headers['cache-control'], undefined)
        assert.match(`${answer.headers.etag}`, /^"/)
      }
    }
  })

  it('sends ranges from handlers of the app, with the fields of the handler', async (t) => {
    const root = folder(t)
    const app = await appOf(t, {
      root,
      allowedPath: (name) => name !== 'large.bin',
      setHeaders: (reply, file) => {
        assert.equal(file.path, 'small.txt')
        assert.equal(file.size, 10_000)
        const { mtimeNs } = fs.statSync(path.join(root, 'small.txt'), { bigint: true })
        assert.equal(+file.modifiedAt, Number(mtimeNs / 1_000_000n))
        reply.header('content-disposition', 'attachment').header('cache-control', 'no-cache')
      }
    })
    app.get('/typed', async (_request, reply) => {
      await new Promise(setImmediate)
      return reply.type('video/mp4').header('x-own', 'yes').sendRange('small.txt')
    })
    const origin = await listening(app)
    const headers = { range: 'bytes=-10' }
    for (let times = 0; times < 2; times++) {
      const answer = await get(`${origin}/typed`, { headers })
      assert.equal(answer.status, 206)
      assert.equal(answer.headers['content-type'], 'video/mp4')
      assert.equal(answer.headers['x-own'], 'yes')
      assert.equal(answer.headers['content-disposition'], 'attachment')
      assert.equal(answer.headers['cache-control'], 'no-cache')
      assert.ok(answer.body.equals(small.subarray(9990)))
    }
    const parts = await get(`${origin}/typed`, { headers: { range: 'bytes=0-1,5-6' } })
    assert.match(`${parts.headers['content-type']}`, /^multipart\/byteranges/)
    assert.match(parts.body.toString('latin1'), /content-type: video\/mp4/i)
    assert.equal((await get(`${origin}/files/large.bin`)).status, 404)
  })

  it('tells nothing of the machine where a handler names a root that is not there', async (t) => {
    const app = await appOf(t)
    app.get('/own', (_request, reply) => reply.sendRange('a', { root: '/nowhere/at/all' }))
    const answer = await app.inject('/own')
    assert.equal(answer.statusCode, 500)
    assert.doesNotMatch(answer.payload, /nowhere/)
  })

  it('sends nothing from outside the root, nor by what is no path', async (t) => {
    const root = folder(t)
    fs.writeFileSync(path.join(root, '..', `${path.basename(root)}.txt`), 'outside')
    t.after(() => fs.rmSync(`${root}.txt`))
    for (const [name, status] of [
      [`../${path.basename(root)}.txt`, 404],
      [`${root}.txt`, 404],
      ['a\0', 404],
      [undefined, 500]
    ] as const) {
      const app = await appOf(t, { root })
      app.get('/own', (_request, reply) => reply.sendRange(name as string))
      const answer = await app.inject('/own')
      assert.equal(answer.statusCode, status, `${name}`)
      assert.doesNotMatch(answer.payload, /outside|Cannot read/)
    }
  })

  it('cannot be registered twice with one prefix', async (t) => {
    const app = await appOf(t)
    await assert.rejects(
      async () => app.register(mmapRanges, { root: folder(t) }),
      (error: NodeJS.ErrnoException) => error.code === 'FST_ERR_DUPLICATED_ROUTE'
    )
  })

  it('works with @fastify/bearer-auth', async (t) => {
    const app = closing(t, fastify())
    await app.register(bearerAuth, { keys: new Set(['secret']) })
    await app.register(mmapRanges, { root: folder(t) })
    const origin = await listening(app)
    assert.equal((await get(`${origin}/files/small.txt`)).status, 401)
    const authorization = 'Bearer secret'
    const answer = await get(`${origin}/files/small.txt`, { headers: { authorization } })
    assert.equal(answer.status, 200)
    assert.ok(answer.body.equals(small))
  })

  it('works with @fastify/rate-limit', async (t) => {
    const app = closing(t, fastify())
    await app.register(rateLimit, { max: 2, timeWindow: 60_000 })
    await app.register(mmapRanges, { root: folder(t) })
    const origin = await listening(app)
    for (const [status, remaining] of [
      [200, '1'],
      [200, '0'],
      [429, '0']
    ] as const) {
      const answer = await get(`${origin}/files/small.txt`)
      assert.equal(answer.status, status)
      assert.equal(answer.headers['x-ratelimit-remaining'], remaining)
      assert.equal(answer.body.equals(small), status === 200)
    }
  })

  it('sends what has begun to its end when the app is closed', async (t) => {
    const root = folder(t)
    const file = path.join(root, 'longer.bin')
    const length = 64 * 2 ** 20
    fs.writeFileSync(file, '')
    fs.truncateSync(file, length)
    makeOld(file)
    const app = await appOf(t, { root })
    const request = http.get(`${await listening(app)}/files/longer.bin`, { agent: false })
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    const closed = app.close()
    let received = 0
    for await (const chunk of response) received += (chunk as Buffer).length
    assert.equal(received, length)
    await closed
    assert.equal(descriptors(file), 0)
  })

  it('releases everything when the app is closed', async (t) => {
    const root = folder(t)
    const other = folder(t)
    const app = await appOf(t, { root })
    app.get('/own', (_request, reply) => reply.sendRange('small.txt', { root: other }))
    const origin = await listening(app)
    await get(`${origin}/files/large.bin`)
    await get(`${origin}/own`)
    const file = path.join(root, 'large.bin')
    assert.ok(mappedBytes(file) > 0)
    assert.equal(descriptors(file), 1)
    await app.close()
    assert.equal(mappedBytes(file), 0)
    assert.equal(descriptors(file), 0)
    assert.equal(descriptors(path.join(other, 'small.txt')), 0)
    const timers = process.getActiveResourcesInfo().filter((name) => name === 'Timeout')
    assert.deepEqual(timers, [])
  })
})

describe('the plugin: TLS and HTTP/2', { timeout: 30_000 }, () => {
  const agent = (ca: Buffer) => new https.Agent({ ca })

  it('sends copies over TLS, and a truncation ends one answer and not the process', async (t) => {
    const tls = certificate(t)
    if (tls === undefined) return t.skip('no openssl')
    const root = folder(t)
    const metrics = new Registry()
    const app = closing(t, fastify({ https: tls }))
    await app.register(mmapRanges, { root, metrics })
    const origin = await listening(app as unknown as FastifyInstance)
    const answer = await getTls(`${origin}/files/large.bin`)
    assert.ok(answer.equals(large))
    const text = await metrics.metrics()
    assert.match(text, /^http_response_body_bytes_total\{source="mapped"\} 0$/m)
    assert.match(text, /^mapped_regions 0$/m)

    const shrinking = path.join(root, 'shrinking.bin')
    fs.writeFileSync(shrinking, contentOf(0, 0, 16 * 2 ** 20))
    makeOld(shrinking)
    await assert.rejects(
      getTls(`${origin}/files/shrinking.bin`, () => fs.truncateSync(shrinking, 4096))
    )
    assert.match(
      await metrics.metrics(),
      /^body_failures_total\{reason="(truncated|changed)"\} 1$/m
    )
    assert.ok((await getTls(`${origin}/files/large.bin`)).equals(large), 'the process goes on')

    function getTls(url: string, whenBegun: () => void = () => {}): Promise<Buffer> {
      return new Promise((resolve, reject) => {
        const request = https.get(url, { agent: agent(tls?.cert as Buffer) }, (response) => {
          const chunks: Buffer[] = []
          response.pause()
          whenBegun()
          response.on('data', (chunk: Buffer) => chunks.push(chunk))
          response.on('error', reject)
          response.on('end', () => resolve(Buffer.concat(chunks)))
          response.resume()
        })
        request.on('error', reject)
      })
    }
  })

  for (const kind of ['HTTP/2 over TLS', 'HTTP/2 without TLS']) {
    it(`sends copies over ${kind}, many streams at once`, async (t) => {
      const tls = kind.endsWith('over TLS') ? certificate(t) : undefined
      if (tls === undefined && kind.endsWith('over TLS')) return t.skip('no openssl')
      const root = folder(t)
      const metrics = new Registry()
      const app = closing(
        t,
        tls === undefined
          ? (fastify({ http2: true }) as unknown as FastifyInstance)
          : (fastify({ http2: true, https: tls }) as unknown as FastifyInstance)
      )
      app.addHook('onSend', async (_request, reply) => {
        reply.header('set-cookie', ['a=1', 'b=2'])
      })
      await app.register(mmapRanges, { root, metrics })
      const origin = await listening(app)
      const client = http2.connect(origin, tls === undefined ? {} : { ca: tls.cert })
      t.after(() => client.destroy())
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, n) =>
          getStream(client, '/files/large.bin', `bytes=${n * 1000}-${n * 1000 + 1_500_000}`)
        )
      )
      for (const [n, { headers, body }] of answers.entries()) {
        assert.equal(headers[':status'], 206)
        assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2'])
        assert.ok(body.equals(large.subarray(n * 1000, n * 1000 + 1_500_001)))
      }
      const missing = await getStream(client, '/files/none')
      assert.equal(missing.headers[':status'], 404)
      assert.match(
        await metrics.metrics(),
        /^http_response_body_bytes_total\{source="mapped"\} 0$/m
      )

      const shrinking = path.join(root, 'shrinking.bin')
      fs.writeFileSync(shrinking, contentOf(0, 0, 16 * 2 ** 20))
      makeOld(shrinking)
      const cut = getStream(client, '/files/shrinking.bin', undefined, () =>
        fs.truncateSync(shrinking, 4096)
      )
      await assert.rejects(cut, /NGHTTP2_INTERNAL_ERROR/)
      assert.ok((await getStream(client, '/files/small.txt')).body.equals(small), 'others go on')
      client.close()
    })
  }

  function getStream(
    client: http2.ClientHttp2Session,
    url: string,
    range?: string,
    whenBegun: () => void = () => {}
  ): Promise<{
    headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader
    body: Buffer
  }> {
    return new Promise((resolve, reject) => {
      const request = client.request({ ':path': url, ...(range === undefined ? {} : { range }) })
      const chunks: Buffer[] = []
      let headers: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {}
      request.on('response', (fields) => {
        headers = fields
        whenBegun()
        request.on('data', (chunk: Buffer) => chunks.push(chunk))
      })
      request.on('error', reject)
      request.on('end', () => resolve({ headers, body: Buffer.concat(chunks) }))
      request.end()
    })
  }

  it('serves over a Unix socket', async (t) => {
    const app = await appOf(t)
    const socket = path.join(tempFolder(t), 'socket')
    await app.listen({ path: socket })
    const bytes = await new Promise<Buffer>((resolve, reject) => {
      const chunks: Buffer[] = []
      const client = net.connect(socket)
      client.write('GET /files/small.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
      client.on('data', (chunk) => chunks.push(chunk))
      client.on('error', reject)
      client.on('close', () => resolve(Buffer.concat(chunks)))
    })
    assert.ok(bytes.subarray(bytes.indexOf('\r\n\r\n') + 4).equals(small))
  })
})

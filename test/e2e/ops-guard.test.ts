/** The ops port as an attacker meets it: by way of an operator's browser, by its address, and by guessing. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { describe, it } from 'node:test'
import { metric } from '../support/metrics.ts'
import { get, raw, serve, suiteLifetime, tempFolder, writePattern } from '../support/serve.ts'

type Fields = Readonly<Record<string, string>>

/** What a browser sends for a page of another site. */
const crossSite: Fields = {
  origin: 'https://evil.example',
  'sec-fetch-site': 'cross-site',
  'sec-fetch-mode': 'cors',
  'sec-fetch-dest': 'empty'
}

describe('the ops port on loopback', () => {
  const t = suiteLifetime()
  const root = tempFolder(t)
  writePattern(path.join(root, 'f'), 1000)
  const serving = serve(t, root, ['--ops-port', '0'])

  async function ask(route: string, headers: Fields, method = 'GET', body?: string) {
    const { opsUrl } = await serving
    return get(opsUrl + route, { method, headers, ...(body === undefined ? {} : { body }) })
  }

  const status = async (...request: Parameters<typeof ask>) => (await ask(...request)).status

  it('listens there alone, and tells browsers to keep its answers to themselves', async () => {
    const { opsUrl } = await serving
    assert.match(opsUrl ?? '', /^http:\/\/127\.0\.0\.1:\d+$/)
    for (const route of ['/metrics', '/residency/f', '/none']) {
      const { headers } = await ask(route, {})
      assert.equal(headers['cross-origin-resource-policy'], 'same-origin')
      assert.equal(headers['x-content-type-options'], 'nosniff')
      assert.equal(headers['cache-control'], 'no-store')
      assert.equal(headers['access-control-allow-origin'], undefined)
    }
  })

  it('refuses what pages of other origins send, whatever route and method', async () => {
    for (const route of ['/metrics', '/healthz', '/residency/f', '/warm/f', '/none', '/']) {
      for (const method of ['GET', 'POST', 'OPTIONS', 'DELETE']) {
        assert.equal(await status(route, crossSite, method), 403, `${method} ${route}`)
      }
    }
    assert.equal(await status('/residency/f', { origin: 'null' }), 403)
    assert.equal(await status('/residency/f', { origin: 'https://a.example, http://b' }), 403)
    // another port of this machine is another origin, and the same site
    assert.equal(await status('/warm/f', { origin: 'http://127.0.0.1:1' }, 'POST'), 403)
    assert.equal(await status('/residency/f', { 'sec-fetch-site': 'same-site' }), 403)
    // <img src>, which sends no Origin
    const image = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' }
    assert.equal(await status('/residency/f', image), 403)
    const frame = {
      'sec-fetch-site': 'cross-site',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-dest': 'iframe'
    }
    assert.equal(await status('/residency/f', frame), 403)
  })

  it('answers its own pages, people who follow a link, and programs', async () => {
    const { opsUrl = '' } = await serving
    const own = { origin: opsUrl, 'sec-fetch-site': 'same-origin' }
    assert.equal(await status('/residency/f', own), 200)
    assert.equal(await status('/warm/f', own, 'POST'), 200)
    // a browser that does not know Sec-Fetch-Site
    assert.equal(await status('/warm/f', { origin: opsUrl }, 'POST'), 200)
    assert.equal(await status('/residency/f', { 'sec-fetch-site': 'none' }), 200)
    const link = {
      'sec-fetch-site': 'cross-site',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-dest': 'document'
    }
    assert.equal(await status('/residency/f', link), 200)
    assert.equal(await status('/warm/f', link, 'POST'), 403)
    assert.equal(await status('/residency/f', {}), 200)
  })

  it('refuses names that are not of loopback (DNS rebinding), but for scrapers and probes', async () => {
    const names = [
      'evil.example',
      'evil.example:9464',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      '192.168.1.1',
      '[::2]',
      '0.0.0.0'
    ]
    for (const host of names) {
      // of the same origin for the browser
      const rebound = { host, origin: `http://${host}`, 'sec-fetch-site': 'same-origin' }
      for (const route of ['/residency/f', '/none', '/']) {
        assert.equal(await status(route, rebound), 403, host)
      }
      assert.equal(await status('/warm/f', rebound, 'POST'), 403, host)
      for (const route of ['/metrics', '/healthz', '/readyz']) {
        assert.equal(await status(route, { host }), 200, host)
      }
    }
    for (const host of ['localhost', 'LOCALHOST:1', '127.0.0.1', '127.9.9.9:80', '[::1]:9464']) {
      assert.equal(await status('/residency/f', { host }), 200, host)
    }
  })

  it('takes JSON or nothing', async () => {
    const body = JSON.stringify({ ranges: [[0, 9]] })
    const post = (type: string | undefined, text: string) =>
      status('/warm/f', type === undefined ? {} : { 'content-type': type }, 'POST', text)
    assert.equal(await post('application/json', body), 200)
    assert.equal(await post('Application/JSON; charset=utf-8', body), 200)
    // those that a page may send without asking
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
      assert.equal(await post(type, body), 415, type)
    }
    for (const type of ['text/plain; application/json', 'application/jsonp', undefined]) {
      assert.equal(await post(type, body), 415, type)
    }
    assert.equal(await post(undefined, ''), 200)
    const { opsUrl = '' } = await serving
    const chunked = await raw(
      opsUrl,
      'POST /warm/f HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: text/plain\r\n' +
        'Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n'
    )
    assert.match(chunked.toString(), /^HTTP\/1\.1 415 /)
  })

  it('counts what it refuses, once each', async () => {
    const { opsUrl = '' } = await serving
    const name =
      'http_request_duration_seconds_count{method="PUT",route="none",status_code="403",source="none"}'
    for (let n = 0; n < 3; n++) await ask('/count', crossSite, 'PUT')
    assert.equal(await metric(opsUrl, name), 3)
  })
})

describe('an ops port with a token', () => {
  const t = suiteLifetime()
  const root = tempFolder(t)
  writePattern(path.join(root, 'f'), 1000)
  const token = 'c2VjcmV0~of-this.test_1+/=='
  // by the environment: other users can read the words of a command line
  const serving = serve(t, root, ['--ops-port', '0', '--ops-host', '0.0.0.0', '--workers', '2'], {
    env: { OPS_TOKEN: token }
  })

  it('wants it on every route but those of probes', async () => {
    const { opsUrl } = await serving
    const wrong = [
      undefined,
      token,
      `Basic ${token}`,
      'Bearer',
      'Bearer ',
      `Bearer ${token}x`,
      `Bearer ${token.slice(0, -1)}`,
      `Bearer x, Bearer ${token}`,
      'Bearer none',
      'Bearer undefined'
    ]
    for (const authorization of wrong) {
      const headers = authorization === undefined ? {} : { authorization }
      for (const route of ['/metrics', '/residency/f', '/none', '/']) {
        const { status, headers: fields } = await get(opsUrl + route, { headers })
        assert.equal(status, 401, `${route} ${authorization}`)
        assert.equal(fields['www-authenticate'], 'Bearer realm="ops"')
      }
    }
    for (const route of ['/healthz', '/readyz']) {
      assert.equal((await get(opsUrl + route)).status, 200)
    }
    for (const authorization of [`Bearer ${token}`, `bearer   ${token}`]) {
      for (const route of ['/metrics', '/residency/f']) {
        assert.equal((await get(opsUrl + route, { headers: { authorization } })).status, 200)
      }
    }
  })

  it('goes by any name on an address that is not loopback, and still refuses other origins', async () => {
    const { opsUrl } = await serving
    const headers = { authorization: `Bearer ${token}`, host: 'ops.example:9464' }
    assert.equal((await get(`${opsUrl}/residency/f`, { headers })).status, 200)
    const foreign = { ...headers, origin: 'https://evil.example' }
    assert.equal((await get(`${opsUrl}/residency/f`, { headers: foreign })).status, 403)
    const own = { ...headers, origin: 'http://ops.example:9464' }
    assert.equal((await get(`${opsUrl}/residency/f`, { headers: own })).status, 200)
  })

  it('does not say it in its log', async () => {
    const { log, stderr } = await serving
    assert.ok(!JSON.stringify(log).includes(token))
    assert.ok(!stderr().includes(token))
  })
})

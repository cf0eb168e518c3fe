/** The live page in a real browser, against the running service. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { before, describe, it } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Browser, Page } from 'playwright-core'
import { launch, type Watched, watch, withoutBrowser } from '../support/browser.ts'
import { dropPages, hasResidentPages, warm } from '../support/kernel-view.ts'
import { metric } from '../support/metrics.ts'
import {
  get,
  makeOld,
  type Serving,
  serve,
  suiteLifetime,
  tempFolder,
  until as untilAt,
  writePattern
} from '../support/serve.ts'

const MiB = 2 ** 20
const fileBytes = 8 * MiB

describe('the live page', { skip: withoutBrowser }, () => {
  const lifetime = suiteLifetime()
  let browser: Browser
  let serving: Serving & { opsUrl: string }
  /** two workers behind a token */
  let protectedOne: Serving & { opsUrl: string }
  let file: string

  before(async () => {
    const root = tempFolder(lifetime)
    file = path.join(root, 'big.bin')
    writePattern(file, fileBytes)
    makeOld(file)
    fs.mkdirSync(path.join(root, 'maps'))
    writePattern(path.join(root, 'maps', 'small.txt'), 5000)
    const otherRoot = tempFolder(lifetime)
    writePattern(path.join(otherRoot, 'f'), 5000)
    const words = ['--ops-token', 'right-one', '--workers', '2']
    ;[browser, serving, protectedOne] = await Promise.all([
      launch(),
      serveOps(root),
      serveOps(otherRoot, words)
    ])
    lifetime.after(() => browser.close())
  })

  async function open(url: string): Promise<{ page: Page; watched: Watched }> {
    const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
    const watched = watch(page, new URL(url).origin)
    await page.goto(url)
    return { page, watched }
  }

  describe('of a service of one process', () => {
    let page: Page
    let watched: Watched

    before(async () => {
      ;({ page, watched } = await open(`${serving.opsUrl}/`))
      await isLive(page)
    })

    it('is one small document that may load nothing', async () => {
      const { headers, body } = await get(`${serving.opsUrl}/`, {
        headers: { 'accept-encoding': 'gzip' }
      })
      assert.equal(headers['content-encoding'], 'gzip')
      assert.ok(body.length < 200 * 1024)
      const policy = String(headers['content-security-policy'])
      assert.match(policy, /^default-src 'none'; script-src 'sha256-[\w+/=]+'; style-src 'sha256-/)
      assert.doesNotMatch(policy, /unsafe|\*|https?:/)
      const plain = await get(`${serving.opsUrl}/`, { headers: { 'accept-encoding': 'gzip;q=0' } })
      assert.equal(plain.headers['content-encoding'], undefined)
      assert.equal(gzipSync(plain.body, { level: 9 }).length, body.length)
      assert.deepEqual(watched.elsewhere, [])
    })

    it('agrees with /metrics and fincore(1) while a file is cold, and when it is hot', async (t) => {
      if (!drop(file)) return t.skip('this file system keeps its pages')
      await show(page, '#files-title')
      await until('the file is cold', async () => (await told(page)).startsWith('0 % in memory'))
      assert.equal(fincore(file), 0)
      for (let at = 0; at < 40; at++) await ask(serving.url, at * 64 * 1024, 64 * 1024)
      await until('it is partly in memory', async () => {
        const resident = fincore(file)
        return resident > 0 && (await told(page)).includes(`: ${mib(resident)} of 8 MiB`)
      })
      const requests = 'tr[data-path="big.bin"] .requests'
      await until('its requests are told', async () => (await text(page, requests)) === '40')
      for (let at = 0; at < 40; at++) await ask(serving.url, at * 64 * 1024, 64 * 1024)
      await until('all answers are counted', async () => {
        const shown = (await text(page, '#now-answers')).replace(',', '')
        return Number(shown) === 80
      })
      const count = (source: string) =>
        metric(
          serving.opsUrl,
          `http_time_to_first_byte_seconds_count{route="/files/*",source="${source}"}`
        )
      assert.equal((await count('read')) + (await count('mapped')), 80)
      // forty cold ones, and then none but what the kernel has reclaimed meanwhile
      const cold = await count('read')
      assert.ok(cold >= 40 && cold < 80, `${cold} cold answers`)
      const kept = await events(serving.opsUrl)
      assert.equal(kept.totals.answers.mapped, await count('mapped'))
      assert.equal(
        kept.totals.bodyBytes.read,
        await metric(serving.opsUrl, 'http_response_body_bytes_total{source="read"}')
      )
      assert.equal(kept.totals.bodyBytes.read, cold * 64 * 1024)
    })

    it('shows a file cold that vmtouch has evicted', async (t) => {
      const isThere = spawnSync('vmtouch', ['-q', file])
      if (isThere.error !== undefined) return t.skip('there is no vmtouch')
      warm(file)
      // of another process: what the service has touched in its mapping would stay
      await get(`${serving.opsUrl}/evict/big.bin`, { method: 'POST' })
      if (hasResidentPages(file)) return t.skip('this file system keeps its pages')
      warm(file)
      await until('it is hot', async () => (await told(page)).startsWith('100 % in memory'))
      execFileSync('vmtouch', ['-q', '-e', file])
      const evictedAtMs = performance.now()
      await until('it is cold', async () => (await told(page)).startsWith('0 % in memory'))
      t.diagnostic(`after ${Math.round(performance.now() - evictedAtMs)} ms`)
    })

    it('warms a file, with progress, and evicts it', async (t) => {
      if (!drop(file)) return t.skip('this file system keeps its pages')
      await page.locator('tr[data-path="big.bin"] button').click()
      await until('it is told of', async () =>
        (await text(page, '#file-facts')).includes('0 B in memory')
      )
      // the progress as the document had it, also between two looks of this test
      await page.evaluate(`
        window.seen = []
        new MutationObserver(() => seen.push(document.getElementById('warm-told').textContent))
          .observe(document.getElementById('warm-told'), { childList: true, subtree: true, characterData: true })`)
      await page.locator('#first-byte').fill('0')
      await page.locator('#last-byte').fill(String(2 * MiB - 1))
      await page.locator('#warm-bytes').click()
      await until('a part is read', async () =>
        (await text(page, '#file-outcome')).startsWith('2 MiB were read into memory')
      )
      assert.equal(fincore(file), 2 * MiB)
      await page.locator('#warm-all').click()
      await until('all is read', async () =>
        (await text(page, '#file-outcome')).startsWith('8 MiB were read into memory')
      )
      assert.equal(fincore(file), fileBytes)
      assert.deepEqual(await page.evaluate('seen'), [
        '100 %: 2 MiB of 2 MiB',
        '100 %: 8 MiB of 8 MiB'
      ])
      await page.locator('#evict-all').click()
      await until('it is evicted', async () =>
        (await text(page, '#file-outcome')).startsWith('8 MiB left memory')
      )
      assert.equal(fincore(file), 0)
      assert.match(await text(page, '#file-outcome'), /Nothing stayed\.$/)
    })

    it('says what a request costs, cold and then hot', async (t) => {
      if (!drop(file)) return t.skip('this file system keeps its pages')
      await page.locator('#try-path').fill('big.bin')
      await page.locator('#try-range').fill('bytes=16-31')
      await page.locator('#try-both').click()
      await page.locator('[data-tried="hot"]').waitFor()
      const cold = await text(page, '[data-tried="cold"]')
      const hot = await text(page, '[data-tried="hot"]')
      assert.match(cold, /206 Partial Content/)
      assert.match(cold, /Sourceread/)
      assert.match(cold, /resident 0, cold 1/)
      assert.match(hot, /Sourcemapped/)
      assert.match(hot, /resident 1, cold 0/)
      const bytes = fs.readFileSync(file).subarray(16, 32)
      assert.ok(
        hot.includes([...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' '))
      )
      // only the page's own requests are told
      const other = await ask(serving.url, 0, 16)
      assert.equal(other.headers['server-timing'], undefined)
    })

    it('names the reason of a slow answer, and where in its file it was', async () => {
      const client = http.get(`${serving.url}big.bin`, { agent: false })
      const response = await new Promise<http.IncomingMessage>((resolve) =>
        client.once('response', resolve)
      )
      // it reads nothing for a while, and the socket's buffers are smaller than the file
      response.pause()
      await new Promise((resolve) => setTimeout(resolve, 400))
      response.resume()
      await new Promise((resolve) => response.once('end', resolve))
      await show(page, '#slow-title')
      await until('it is told of', async () =>
        (await text(page, '#slow-list')).includes('the client was slow')
      )
      assert.ok((await page.locator('#slow-list .place span').count()) > 0)
    })

    it('has nothing for axe to find, and fits on a narrow screen, light and dark', async () => {
      const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
      await page.evaluate(axe)
      for (const [colorScheme, width] of [
        ['light', 1280],
        ['dark', 320]
      ] as const) {
        await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
        await page.setViewportSize({ width, height: 800 })
        const found = (await page.evaluate(
          'axe.run().then(({ violations }) => violations.map(({ id, nodes }) => [id, ...nodes.map(({ html }) => html)].join(" ")))'
        )) as string[]
        assert.deepEqual(found, [])
        assert.equal(await page.evaluate('document.documentElement.scrollWidth'), width)
      }
      await page.setViewportSize({ width: 1280, height: 800 })
    })

    it('lets no page of another origin read or change anything', async () => {
      warm(file)
      const other = await open(`${serving.url}maps/small.txt`)
      for (const [route, method] of [
        ['evict/big.bin', 'POST'],
        ['files', 'GET'],
        ['events', 'GET'],
        ['try/big.bin', 'GET']
      ]) {
        const outcome = await other.page.evaluate(
          `fetch('${serving.opsUrl}/${route}', { method: '${method}' }).then(() => 'read', () => 'refused')`
        )
        assert.equal(outcome, 'refused', route)
      }
      assert.equal(fincore(file), fileBytes)
      await other.page.close()
    })

    it('comes back by itself after the service was gone', async () => {
      const port = new URL(serving.opsUrl).port
      serving.child.kill('SIGKILL')
      await serving.exited
      await until('it is lost', async () => (await connection(page)) === 'lost')
      assert.equal(await text(page, '#now-readiness'), 'unknown')
      const root = tempFolder(lifetime)
      await serve(lifetime, root, ['--ops-port', port])
      await isLive(page)
      await until('it is another service', async () => (await text(page, '#now-root')) === root)
    })

    it('has met no error but that of the service that was gone', async () => {
      const others = watched.problems.filter((problem) => !/ERR_|Failed to load/.test(problem))
      assert.deepEqual(others, [])
      await page.close()
    })
  })

  it('asks for the token once, and shows two workers as one service, behind a path prefix', async () => {
    const prefixed = await proxyBelow('/ops/', protectedOne.opsUrl)
    const { page, watched } = await open(`${prefixed}/ops/`)
    await page.locator('#token').fill('wrong')
    await page.keyboard.press('Enter')
    await page.locator('#token-refused').waitFor()
    await page.locator('#token').fill('right-one')
    await page.keyboard.press('Enter')
    await isLive(page)
    for (let i = 0; i < 20; i++) await get(`${protectedOne.url}f`)
    await until(
      'all answers of both workers',
      async () => (await text(page, '#now-answers')) === '20'
    )
    assert.equal(await text(page, '#now-workers'), '2')
    await show(page, '#files-title')
    await until('the file', async () => (await text(page, '#files-body .requests')) === '20')
    await page.reload()
    await isLive(page)
    assert.equal(await page.locator('#token-dialog[open]').count(), 0)
    assert.deepEqual(watched.elsewhere, [])
    await page.close()
  })

  async function serveOps(
    root: string,
    args: readonly string[] = []
  ): Promise<Serving & { opsUrl: string }> {
    const serving = await serve(lifetime, root, ['--ops-port', '0', ...args])
    return { ...serving, opsUrl: serving.opsUrl as string } // it was asked for
  }

  /** A proxy as operators have them, which serves the ops port below a path. */
  async function proxyBelow(prefix: string, target: string): Promise<string> {
    const { host } = new URL(target)
    const server = http.createServer((request, response) => {
      const url = `${target}/${(request.url ?? '').slice(prefix.length)}`
      const { method = 'GET' } = request
      const origin = request.headers.origin === undefined ? {} : { origin: target }
      const headers = { ...request.headers, host, ...origin }
      const passed = http.request(url, { method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      })
      response.on('close', () => passed.destroy())
      passed.on('error', () => response.destroy())
      request.pipe(passed)
    })
    lifetime.after(() => {
      server.closeAllConnections()
      server.close()
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
})

/** Each look at a page takes time of the browser's, which it needs for the page. */
function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  return untilAt(what, holds, 15_000, 50)
}

async function isLive(page: Page): Promise<void> {
  await until('the page is live', async () => (await connection(page)) === 'live')
}

function connection(page: Page): Promise<string | null> {
  return page.locator('#connection').getAttribute('data-connection')
}

/** Text without the blanks that only the source has. */
async function text(page: Page, selector: string): Promise<string> {
  return ((await page.locator(selector).first().textContent()) ?? '').replace(/\s+/g, ' ').trim()
}

/** What the strip of the file says to those who do not see it. */
async function told(page: Page): Promise<string> {
  const strip = page.locator('tr[data-path="big.bin"] .strip')
  return (await strip.count()) === 0 ? '' : ((await strip.getAttribute('aria-label')) ?? '')
}

async function show(page: Page, selector: string): Promise<void> {
  await page.locator(selector).scrollIntoViewIfNeeded()
}

function ask(url: string, offset: number, length: number) {
  const range = `bytes=${offset}-${offset + length - 1}`
  return get(`${url}big.bin`, { headers: { range } })
}

/** Bytes of a file in the page cache, as another program sees it. */
function fincore(file: string): number {
  return Number(execFileSync('fincore', ['-nb', '-o', 'RES', file], { encoding: 'utf8' }))
}

/** @returns whether nothing of it is in memory any more */
function drop(file: string): boolean {
  dropPages(file)
  return !hasResidentPages(file)
}

/** As the page writes it. */
function mib(bytes: number): string {
  const value = bytes / MiB
  if (value < 1) return `${Math.round(bytes / 1024)} KiB`
  return `${Number.isInteger(value) ? value : value.toFixed(1)} MiB`
}

interface Event {
  readonly totals: {
    readonly answers: { readonly mapped: number }
    readonly bodyBytes: { readonly read: number }
  }
}

/** The last of those that were kept, which come in one piece. */
async function events(opsUrl: string): Promise<Event> {
  const response = await fetch(`${opsUrl}/events`)
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  let text = ''
  while (!/\ndata: .*\n\n$/.test(text)) {
    const { value } = await reader.read()
    text += new TextDecoder().decode(value)
  }
  await reader.cancel()
  const last = text.trim().split('\n').at(-1) ?? ''
  return JSON.parse(last.slice('data: '.length)) as Event
}

/**
 * Pictures of the live page, for README.md and docs/page.md: the real page of a real service under a real load, in
 * headless Chromium. The service runs in a memory cgroup, which takes root or a delegated one.
 *
 * usage: node scripts/page-pictures.mjs [--only STORY]… [--seconds N] [--chromium PATH]
 *        after `npm run build`; writes docs/pictures/; a story is one of those below
 */
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'
import { limitMemory } from '../dist/advise/memory-limit.js'

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true },
    seconds: { type: 'string', default: '55' },
    chromium: { type: 'string', default: '/usr/bin/chromium' }
  }
})
const project = path.join(path.dirname(fileURLToPath(import.meta.url)), '..')
const pictures = path.join(project, 'docs/pictures')
const MiB = 2 ** 20
const names = ['tiles/europe.pmtiles', 'genomes/sample.bam', 'columns/trips.parquet', 'video.mp4']
const fileBytes = 64 * MiB
const loadMs = 1000 * Number(values.seconds)
// more than the files and the process together
const ampleBytes = 2048 * MiB
// with what the process takes, less than the files: about half of them fit
const shortBytes = 160 * MiB

const stories = {
  async readme() {
    for (const colorScheme of ['light', 'dark']) {
      await withPage({ colorScheme }, async ({ page, url, opsUrl }) => {
        for (const name of names.slice(0, 3)) await evict(opsUrl, name)
        const lengths = [4096, 16_384, 65_536, 262_144]
        const stop = clients(url, { start: nearTheBeginning, lengths })
        await wait(loadMs)
        await settle(page)
        await page.screenshot({
          path: picture(`page-${colorScheme}`),
          fullPage: true,
          clip: { x: 0, y: 0, width: 1280, height: 1700 }
        })
        await stop()
      })
    }
  },

  async 'cold-start'() {
    await withPage({}, async ({ page, url, opsUrl }) => {
      for (const name of names) await evict(opsUrl, name)
      await page.locator('#files').scrollIntoViewIfNeeded()
      await wait(2500)
      await page.locator('#files .table').screenshot({ path: picture('cold-start-before') })
      const stop = clients(url, { start: anywhere, lengths: [65_536] })
      await wait(loadMs)
      await settle(page)
      await page.locator('#files .table').screenshot({ path: picture('cold-start-after') })
      await chart(page, ['answers', 'first-byte', 'block-input'], 'cold-start-time')
      await stop()
    })
  },

  async 'short-memory'() {
    await withPage({ memoryBytes: shortBytes }, async ({ page, url, opsUrl }) => {
      for (const name of names) await evict(opsUrl, name)
      const stop = clients(url, { start: anywhere, lengths: [65_536] })
      await wait(loadMs)
      await settle(page)
      await page
        .locator('#now .card')
        .nth(2)
        .screenshot({ path: picture('short-memory-now') })
      await chart(page, [...both, ...waiting], 'short-memory-time')
      await page.locator('#files .table').screenshot({ path: picture('short-memory-files') })
      await stop()
    })
  },

  async 'guard-off'() {
    const options = { memoryBytes: shortBytes, words: ['--guard', 'off'] }
    await withPage(options, async ({ page, url, opsUrl }) => {
      for (const name of names) await evict(opsUrl, name)
      const stop = clients(url, { start: anywhere, lengths: [65_536] })
      await wait(loadMs)
      await settle(page)
      await chart(page, [...both, ...waiting], 'guard-off-time')
      await page.locator('#slow').scrollIntoViewIfNeeded()
      await page.locator('#slow-list li').nth(2).waitFor()
      await page.addStyleTag({ content: '#slow-list li:nth-child(n + 4) { display: none }' })
      await page.locator('#slow').screenshot({ path: picture('guard-off-slow') })
      await stop()
    })
  }
}
const both = ['answers', 'first-byte', 'block-input']
const waiting = ['loop-delay', 'loop-faults', 'process-faults']

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'pictures-'))
try {
  fs.mkdirSync(pictures, { recursive: true })
  for (const name of names) {
    fs.mkdirSync(path.dirname(path.join(root, name)), { recursive: true })
    // on the disk, or its pages could not be evicted
    fs.writeFileSync(path.join(root, name), Buffer.alloc(fileBytes, name), { flush: true })
    const hourAgo = Date.now() / 1000 - 3600
    fs.utimesSync(path.join(root, name), hourAgo, hourAgo)
  }
  for (const [name, tell] of Object.entries(stories)) {
    if (values.only?.includes(name) ?? true) await tell()
  }
} finally {
  fs.rmSync(root, { recursive: true })
}

/** A service of its own, in a memory cgroup of its own, and the page of it. */
async function withPage({ colorScheme = 'light', memoryBytes = ampleBytes, words = [] }, tell) {
  const limit = limitMemory(memoryBytes, 'pictures')
  const join = ['-c', 'echo $$ > "$0" && exec "$@"', limit.file, process.execPath]
  const own = ['dist/main.js', root, '--port', '0', '--ops-port', '0', '--log-format', 'json']
  const service = spawn('sh', [...join, ...own, ...words], {
    cwd: project,
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const browser = await chromium.launch({
    executablePath: values.chromium,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking']
  })
  try {
    const { url, opsUrl } = await listening(service)
    const page = await browser.newPage({
      colorScheme,
      viewport: { width: 1280, height: 900 },
      // for what is left out of a picture
      bypassCSP: true
    })
    await page.goto(opsUrl)
    await page.locator('#connection[data-connection="live"]').waitFor()
    await tell({ page, url, opsUrl })
  } finally {
    await browser.close()
    const ended = new Promise((resolve) => service.once('exit', resolve))
    service.kill()
    await ended
    limit.remove()
  }
}

async function listening({ stdout }) {
  for await (const line of createInterface({ input: stdout })) {
    const entry = JSON.parse(line)
    if (entry.msg === 'listening') return entry
  }
  throw new Error('the service has ended')
}

/** All parts drawn, the charts at rest, and the page at its top. */
async function settle(page) {
  // the machine's own folder says nothing to others
  await page.locator('#now-root').evaluate((node) => (node.textContent = '/srv/data'))
  await page.locator('#files').scrollIntoViewIfNeeded()
  await wait(1200)
  await page.evaluate(() => window.scrollTo(0, 0))
  await page.locator('#pause').click()
  // no row is to look chosen
  await page.mouse.move(0, 0)
  await wait(300)
}

/** Some of the charts. */
async function chart(page, ids, name) {
  const others = ids.map((id) => `:not([data-chart="${id}"])`).join('')
  const style = await page.addStyleTag({ content: `#charts .chart${others} { display: none }` })
  await page.locator('#charts').screenshot({ path: picture(name) })
  await style.evaluate((node) => node.remove())
}

function picture(name) {
  return path.join(pictures, `${name}.png`)
}

async function evict(opsUrl, name) {
  const { status } = await fetch(`${opsUrl}/evict/${name}`, { method: 'POST' })
  if (status !== 200) throw new Error(`evict: ${status}`)
}

/** Most near each other, as readers of maps and columns ask. */
function nearTheBeginning() {
  return Math.random() ** 3
}

function anywhere() {
  return Math.random()
}

/** Six clients, each with one request at a time and a short rest after it. @returns ends them */
function clients(url, { start, lengths }) {
  let isOver = false
  const one = async (seed) => {
    for (let n = seed; !isOver; n++) {
      const name = names[n % names.length]
      const length = lengths[n % lengths.length]
      const first = Math.floor(start() * (fileBytes - length))
      const range = `bytes=${first}-${first + length - 1}`
      await (await fetch(url + name, { headers: { range } })).arrayBuffer()
      await wait(20)
    }
  }
  const all = Promise.all([1, 2, 3, 4, 5, 6].map(one))
  return () => {
    isOver = true
    return all
  }
}

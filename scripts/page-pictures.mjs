/**
 * Pictures of the live page under load, for README.md and docs/page.md: the real page of a real service, light and
 * dark, in headless Chromium.
 *
 * usage: node scripts/page-pictures.mjs [CHROMIUM]     after `npm run build`; writes docs/pictures/
 */
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const project = path.join(path.dirname(fileURLToPath(import.meta.url)), '..')
const pictures = path.join(project, 'docs/pictures')
const MiB = 2 ** 20
const names = ['tiles/europe.pmtiles', 'genomes/sample.bam', 'columns/trips.parquet', 'video.mp4']
const fileBytes = 64 * MiB

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'pictures-'))
let service
try {
  for (const name of names) {
    fs.mkdirSync(path.dirname(path.join(root, name)), { recursive: true })
    // on the disk, or its pages could not be evicted
    fs.writeFileSync(path.join(root, name), Buffer.alloc(fileBytes, name), { flush: true })
    const hourAgo = Date.now() / 1000 - 3600
    fs.utimesSync(path.join(root, name), hourAgo, hourAgo)
  }
  service = spawn(
    process.execPath,
    ['dist/main.js', root, '--port', '0', '--ops-port', '0', '--log-format', 'json'],
    { cwd: project, stdio: ['ignore', 'pipe', 'inherit'] }
  )
  const { url, opsUrl } = await listening(service)
  const browser = await chromium.launch({
    executablePath: process.argv[2] ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking']
  })
  fs.mkdirSync(pictures, { recursive: true })
  for (const colorScheme of ['light', 'dark']) {
    const page = await browser.newPage({ colorScheme, viewport: { width: 1280, height: 900 } })
    await page.goto(opsUrl)
    // the machine's own folder says nothing to others
    const hideRoot = () =>
      page.locator('#now-root').evaluate((node) => (node.textContent = '/srv/data'))
    await page.locator('#files').scrollIntoViewIfNeeded()
    for (const name of names.slice(0, 3)) await evict(opsUrl, name)
    const endMs = Date.now() + 45_000
    await Promise.all([clients(url, endMs), wait(45_000)])
    await page.locator('#files').scrollIntoViewIfNeeded()
    await wait(2500)
    await page.evaluate(() => window.scrollTo(0, 0))
    await hideRoot()
    await page.screenshot({
      path: path.join(pictures, `page-${colorScheme}.png`),
      fullPage: true,
      clip: { x: 0, y: 0, width: 1280, height: 1700 }
    })
    await page.close()
  }
  await browser.close()
} finally {
  service?.kill()
  fs.rmSync(root, { recursive: true })
}

async function listening({ stdout }) {
  for await (const line of createInterface({ input: stdout })) {
    const entry = JSON.parse(line)
    if (entry.msg === 'listening') return entry
  }
  throw new Error('the service has ended')
}

async function evict(opsUrl, name) {
  const { status } = await fetch(`${opsUrl}/evict/${name}`, { method: 'POST' })
  if (status !== 200) throw new Error(`evict: ${status}`)
}

/** Ranges of a few sizes: most near each other, as readers of maps and columns ask. */
async function clients(url, endMs) {
  const one = async (seed) => {
    for (let n = seed; Date.now() < endMs; n++) {
      const name = names[n % names.length]
      const length = [4096, 16_384, 65_536, 262_144][n % 4]
      const start = Math.floor(Math.random() ** 3 * (fileBytes - length))
      const range = `bytes=${start}-${start + length - 1}`
      await (await fetch(url + name, { headers: { range } })).arrayBuffer()
      await wait(5)
    }
  }
  await Promise.all([1, 2, 3, 4, 5, 6].map(one))
}

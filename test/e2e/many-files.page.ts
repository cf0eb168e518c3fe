/** The live page of a root with tens of thousands of files: nothing freezes. Part of `npm run test:page`. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { it } from 'node:test'
import { launch, withoutBrowser } from '../support/browser.ts'
import { get, serve, tempFolder, until } from '../support/serve.ts'

const folders = 100
const filesEach = 500

it('shows, searches and sorts 50,000 files while clients are answered', {
  skip: withoutBrowser
}, async (t) => {
  const root = tempFolder(t)
  for (let folder = 0; folder < folders; folder++) {
    const name = path.join(root, `folder-${folder}`)
    fs.mkdirSync(name)
    for (let file = 0; file < filesEach; file++) {
      fs.writeFileSync(path.join(name, `file-${file}.bin`), 'x'.repeat(1 + (file % 7)))
    }
  }
  fs.writeFileSync(path.join(root, 'folder-7', 'needle.bin'), 'y'.repeat(5000))
  const { url, opsUrl } = await serve(t, root, ['--ops-port', '0'])
  const browser = await launch()
  t.after(() => browser.close())
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  let isOver = false
  let longestMs = 0
  const client = (async () => {
    while (!isOver) {
      const startedAtMs = performance.now()
      assert.equal((await get(`${url}folder-7/needle.bin`)).status, 200)
      longestMs = Math.max(longestMs, performance.now() - startedAtMs)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  })()
  const startedAtMs = performance.now()
  await page.goto(`${opsUrl}/`)
  await page.locator('#files-title').scrollIntoViewIfNeeded()
  const count = () => page.locator('#files-count').textContent()
  await until('all are found', async () => (await count()) === '1–20 of 50,001 files', 60_000)
  t.diagnostic(`all were found after ${Math.round(performance.now() - startedAtMs)} ms`)
  const first = () => page.locator('#files-body th').first().textContent()
  await page.locator('#files-sort').selectOption('-size')
  await until('the largest is first', async () => (await first()) === 'folder-7/needle.bin')
  await page.locator('#files-sort').selectOption('requests')
  await until('the busiest is first', async () => (await first()) === 'folder-7/needle.bin')
  await page.locator('#files-sort').selectOption('-path')
  await until('the last is first', async () => (await first()) === 'folder-99/file-99.bin')
  await page.locator('#files-search').fill('FOLDER-42/file-49')
  await until('some match', async () => (await count()) === '1–11 of 11 files')
  await page.locator('#files-search').fill('')
  await page.locator('#files-sort').selectOption('path')
  await page.locator('#files-limit').selectOption('100')
  await until('a longer page', async () => (await count()) === '1–100 of 50,001 files')
  await page.locator('#files-next').click()
  await until('the next page', async () => (await count()) === '101–200 of 50,001 files')
  isOver = true
  await client
  t.diagnostic(`the slowest answer to a client meanwhile took ${Math.round(longestMs)} ms`)
})

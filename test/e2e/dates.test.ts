/** Last-Modified: never in doubt, never later than Date, and a condition of If-Range only where it is strong. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { contentOf, versionOf } from '../support/contents.ts'
import { get, serve, tempFolder } from '../support/serve.ts'

const size = 20_000

function httpDate(epochMs: number): string {
  return new Date(epochMs).toUTCString()
}

function secondOf(path: string): number {
  return Math.floor(fs.statSync(path).mtimeMs / 1000)
}

/** Early enough in a second for all that follows to happen in it. */
async function beginOfSecond(): Promise<void> {
  const intoMs = Date.now() % 1000
  if (intoMs > 300) await wait(1020 - intoMs)
}

it('If-Range with a date never confirms two contents of one second', {
  timeout: 60_000
}, async (t) => {
  const root = tempFolder(t)
  const { url } = await serve(t, root)
  const wrong: string[] = []
  // whether the first content is asked about once or many times, and whether the file is replaced or rewritten
  const cases = ['rewritten in place', 'replaced by rename'].flatMap((change) =>
    [1, 5].map((times, n) => ({ change, times, file: `${change.slice(0, 8)}${n}` }))
  )
  await beginOfSecond()
  await Promise.all(
    cases.map(async ({ change, times, file }) => {
      const path = join(root, file)
      fs.writeFileSync(path, contentOf(1, 0, size))
      const date = httpDate(secondOf(path) * 1000)
      /** Which content the server says that the date stands for: by sending it, or by If-Range. */
      const confirmed = new Set<number>()
      const look = async () => {
        const whole = await get(url + file)
        assert.equal(whole.status, 200)
        if (whole.headers['last-modified'] === date) confirmed.add(versionOf(whole.body) as number)
        const headers = { range: 'bytes=100-199', 'if-range': date }
        const part = await get(url + file, { headers })
        assert.ok([200, 206].includes(part.status))
        const start = part.status === 206 ? 100 : 0
        if (part.status === 206) confirmed.add(versionOf(part.body, start) as number)
      }
      for (let n = 0; n < times; n++) await look()
      if (change === 'replaced by rename') {
        fs.writeFileSync(`${path}.new`, contentOf(2, 0, size))
        fs.renameSync(`${path}.new`, path)
      } else {
        const fd = fs.openSync(path, 'r+')
        fs.writeSync(fd, contentOf(2, 0, size), 0, size, 0)
        fs.closeSync(fd)
      }
      assert.equal(httpDate(secondOf(path) * 1000), date, 'too slow to show anything')
      await look()
      // when the second is over, its date may be that of the second content, if it never was of the first
      for (const waitMs of [1100, 1000]) {
        await wait(waitMs)
        await look()
      }
      if (confirmed.size > 1) wrong.push(`${change}, asked ${times} times before`)
    })
  )
  assert.deepEqual(wrong, [])
})

it('a file of the current second has no Last-Modified, or one that If-Range does not take', async (t) => {
  const root = tempFolder(t)
  const { url } = await serve(t, root)
  const path = join(root, 'young')
  await beginOfSecond()
  fs.writeFileSync(path, contentOf(1, 0, size))
  for (let n = 0; n < 3; n++) {
    const { headers } = await get(`${url}young`, { method: 'HEAD' })
    const date = httpDate(secondOf(path) * 1000)
    const condition = { range: 'bytes=0-9', 'if-range': headers['last-modified'] ?? date }
    const { status } = await get(`${url}young`, { headers: condition })
    assert.ok(Date.now() < (secondOf(path) + 1) * 1000, 'too slow to show anything')
    assert.equal(status, 200)
  }
})

it('the date of an old file is sent, and holds for If-Range when it is equal', async (t) => {
  const root = tempFolder(t)
  const { url } = await serve(t, root)
  const path = join(root, 'old')
  fs.writeFileSync(path, contentOf(1, 0, size))
  const at = Math.floor(Date.now() / 1000) - 100
  fs.utimesSync(path, at, at)
  const { headers } = await get(`${url}old`)
  const date = headers['last-modified'] as string
  assert.equal(date, httpDate(at * 1000))
  for (const [seconds, status] of [
    [0, 206],
    [-1, 200],
    [1, 200]
  ] as const) {
    const condition = { range: 'bytes=0-9', 'if-range': httpDate((at + seconds) * 1000) }
    assert.equal((await get(`${url}old`, { headers: condition })).status, status)
  }
})

it('a file of the future has no Last-Modified at all', async (t) => {
  const root = tempFolder(t)
  const { url } = await serve(t, root)
  const path = join(root, 'future')
  fs.writeFileSync(path, contentOf(1, 0, size))
  const withDates: string[] = []
  for (const seconds of [3, 3600, 100 * 366 * 24 * 3600]) {
    const at = Math.floor(Date.now() / 1000) + seconds
    fs.utimesSync(path, at, at)
    for (const request of [{}, { method: 'HEAD' }, { headers: { range: 'bytes=0-9' } }]) {
      const { status, headers } = await get(`${url}future`, request)
      assert.ok(status === 200 || status === 206)
      if (headers['last-modified'] !== undefined) withDates.push(`in ${seconds} s`)
      if (status === 200) assert.equal(Number(headers['content-length']), size)
    }
    const condition = { range: 'bytes=0-9', 'if-range': httpDate(at * 1000) }
    assert.equal((await get(`${url}future`, { headers: condition })).status, 200)
  }
  assert.deepEqual(withDates, [])
})

it('Last-Modified is never later than Date, however young the file is', async (t) => {
  const root = tempFolder(t)
  const { url } = await serve(t, root)
  const path = join(root, 'file')
  let later = 0
  const endMs = performance.now() + 1300
  while (performance.now() < endMs) {
    fs.writeFileSync(path, contentOf(1, 0, 1000))
    const { headers } = await get(`${url}file`, { method: 'HEAD' })
    const modified = headers['last-modified']
    if (modified !== undefined && Date.parse(modified) > Date.parse(headers.date ?? '')) later++
    await wait(5)
  }
  assert.equal(later, 0)
})

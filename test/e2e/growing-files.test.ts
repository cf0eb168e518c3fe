/**
 * Files that are being written: what only grows is served as far as it goes, what has just been written is served
 * at once, and what is rewritten all the time is served more often than not, never mixed.
 */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { contentOf, describeMix, versionOf } from '../support/contents.ts'
import { churnMaxBytes, startWriter } from '../support/file-writer.ts'
import { RawClient, smallBuffers } from '../support/raw-client.ts'
import { type Answer, get, serve, tempFolder } from '../support/serve.ts'

const MiB = 2 ** 20
const mostMs = 2000

for (const mode of ['mmap', 'read']) {
  describe(`a file that grows, ${mode}`, () => {
    it('every 1, 20 and 100 ms: all that is there is served, without waiting', {
      timeout: 60_000
    }, async (t) => {
      const root = tempFolder(t)
      const server = await serve(t, root, ['--mode', mode, '--log-level', 'info'])
      const agent = new http.Agent({ keepAlive: true })
      t.after(() => agent.destroy())
      const wrong: string[] = []
      const shown = await Promise.all(
        [1, 20, 100].map(async (everyMs) => {
          const file = `grows-${everyMs}`
          const path = join(root, file)
          fs.writeFileSync(path, contentOf(0, 0, 300_000))
          const stop = await startWriter(t, path, { kind: 'grow', everyMs, bytes: 1000 })
          const latencies: number[] = []
          const ask = async (method: string, range: string | undefined, expected: number) => {
            const startedAtMs = performance.now()
            const headers = range === undefined ? {} : { range: `bytes=${range}` }
            const answer = await get(server.url + file, { agent, method, headers })
            latencies.push(performance.now() - startedAtMs)
            if (answer.status === expected) return answer
            wrong.push(`every ${everyMs} ms, ${method} ${range}: ${answer.status}`)
            return undefined
          }
          const same = (answer: Answer | undefined, start: number, end?: number) => {
            if (answer === undefined) return
            const { body } = answer
            assert.equal(body.length, Number(answer.headers['content-length']))
            if (end !== undefined) assert.equal(body.length, end - start)
            assert.ok(body.equals(contentOf(0, start, start + body.length)), 'wrong bytes')
          }
          const endMs = performance.now() + 1500
          while (performance.now() < endMs) {
            // what is there for sure when it is asked for
            const { size } = fs.statSync(path)
            const start = Math.floor(Math.random() * size)
            same(await ask('GET', `${start}-${size - 1}`, 206), start, size)
            same(await ask('GET', `${size - 1000}-${size - 1}`, 206), size - 1000, size)
            same(await ask('GET', `${start}-${start}`, 206), start, start + 1)
            const whole = await ask('GET', undefined, 200)
            same(whole, 0)
            assert.ok(whole === undefined || whole.body.length >= size)
            const head = await ask('HEAD', undefined, 200)
            assert.ok(head === undefined || Number(head.headers['content-length']) >= size)
            const open = await ask('GET', `${size - 10}-`, 206)
            same(open, size - 10)
            await wait(3)
          }
          await stop()
          latencies.sort((a, b) => a - b)
          const p99 = latencies[Math.floor(latencies.length * 0.99)] as number
          const most = latencies.at(-1) as number
          const figures = { everyMs, answers: latencies.length, p99: round(p99), most: round(most) }
          t.diagnostic(JSON.stringify(figures))
          return { answers: latencies.length, most }
        })
      )
      assert.deepEqual(countEach(wrong), {})
      for (const { answers, most } of shown) {
        assert.ok(answers > 10)
        assert.ok(most < mostMs, `an answer took ${round(most)} ms`)
      }
    })

    it('all the time: a slow download ends with the size that its head has promised', {
      timeout: 60_000
    }, async (t) => {
      const root = tempFolder(t)
      const path = join(root, 'large')
      fs.writeFileSync(path, contentOf(0, 0, 64 * MiB))
      const server = await serve(t, root, ['--mode', mode, '--log-level', 'info'])
      const stop = await startWriter(t, path, { kind: 'grow', everyMs: 2, bytes: 1000 })
      const client = RawClient.connect(t, server.origin, { receiveBuffer: 256 * 1024 })
      client.get('/files/large')
      const head = await client.head()
      assert.equal(head?.status, 200)
      assert.ok(head.contentLength >= 64 * MiB)
      let read = 0
      while (read < head.contentLength) {
        const wanted = Math.min(4 * MiB, head.contentLength - read)
        const bytes = await client.read(wanted)
        assert.ok(bytes.equals(contentOf(0, read, read + bytes.length)), `wrong after ${read}`)
        read += bytes.length
        assert.equal(bytes.length, wanted, `cut after ${read} of ${head.contentLength} bytes`)
        await wait(50)
      }
      await stop()
      assert.ok(fs.statSync(path).size > head.contentLength)
    })
  })

  it(`a file that is truncated, grown and rewritten every few ms, ${mode}`, {
    timeout: 60_000
  }, async (t) => {
    const root = tempFolder(t)
    const path = join(root, 'file')
    fs.writeFileSync(path, contentOf(0, 0, churnMaxBytes))
    const server = await serve(t, root, ['--mode', mode, '--log-level', 'info'])
    await startWriter(t, path, { kind: 'churn' })
    const outcomes: Record<string, number> = {}
    const count = (outcome: string) => {
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    }
    const wrong: string[] = []
    const versionOfTag = new Map<string, number>()
    const endMs = performance.now() + 4000
    const readers = Array.from({ length: 4 }, async (_, n) => {
      const connect = () => RawClient.connect(t, server.origin, n % 2 === 0 ? {} : smallBuffers)
      let client = connect()
      while (performance.now() < endMs) {
        // all of it, its beginning, or its end; no state is shorter than that, but for an empty one
        const range = [undefined, 'bytes=0-999', 'bytes=-1000'][Math.floor(Math.random() * 3)]
        client.get('/files/file', range === undefined ? {} : { Range: range })
        const answer = await client.answer()
        if (answer === undefined || !answer.isComplete) {
          count('cut')
          client = connect()
          continue
        }
        // a range of an empty file: a right answer that shows nothing
        if (answer.status === 416) continue
        count(`${answer.status}`)
        if ((answer.status !== 200 && answer.status !== 206) || answer.contentLength === 0) continue
        const field = answer.headers.get('content-range') ?? ''
        const start = Number(/^bytes (\d+)-/.exec(field)?.[1] ?? 0)
        const version = versionOf(answer.body, start)
        if (version === undefined) wrong.push(`mixed: ${describeMix(answer.body, start)}`)
        const etag = answer.headers.get('etag')
        if (version === undefined || etag?.startsWith('"') !== true) continue
        if ((versionOfTag.get(etag) ?? version) !== version)
          wrong.push('two contents with one ETag')
        versionOfTag.set(etag, version)
      }
    })
    await Promise.all(readers)
    const all = Object.values(outcomes).reduce((sum, n) => sum + n, 0)
    const right = (outcomes['200'] ?? 0) + (outcomes['206'] ?? 0)
    t.diagnostic(JSON.stringify(outcomes))
    assert.deepEqual(wrong, [])
    assert.ok(all > 10 && right >= 0.6 * all, `${right} answered of ${all}`)
  })

  describe(`a file that was written a moment ago, ${mode}`, () => {
    it('is answered, by a weak ETag without Last-Modified or by a strong one', async (t) => {
      const root = tempFolder(t)
      const server = await serve(t, root, ['--mode', mode, '--log-level', 'info'])
      const agent = new http.Agent({ keepAlive: true })
      t.after(() => agent.destroy())
      const path = join(root, 'young')
      fs.writeFileSync(join(root, 'old'), contentOf(0, 0, 50_000))
      fs.utimesSync(join(root, 'old'), 1_700_000_000, 1_700_000_000)
      fs.writeFileSync(path, contentOf(0, 0, 50_000))
      const latencies = { young: [] as number[], old: [] as number[] }
      const ask = async (file: 'young' | 'old', headers: http.OutgoingHttpHeaders = {}) => {
        const startedAtMs = performance.now()
        const answer = await get(server.url + file, { agent, headers })
        latencies[file].push(performance.now() - startedAtMs)
        return answer
      }
      const versions = new Map<string, number>()
      let weak = 0
      for (let version = 1; version <= 25; version++) {
        writeOver(path, contentOf(version, 0, 50_000))
        const whole = await ask('young')
        assert.equal(whole.status, 200)
        assert.ok(whole.body.equals(contentOf(version, 0, 50_000)))
        const etag = whole.headers.etag as string
        await ask('old')
        if (etag.startsWith('W/')) {
          weak++
          assert.equal(whole.headers['last-modified'], undefined)
          const range = { range: 'bytes=5-9' }
          const ifRange = await ask('young', { ...range, 'if-range': etag })
          assert.equal(ifRange.status, 200, 'If-Range held with a weak ETag')
          assert.equal((await ask('young', { 'if-match': etag })).status, 412)
          // §13.1.2: the weak comparison; by now the ETag may be strong, and another one
          const ifNoneMatch = await ask('young', { 'if-none-match': etag })
          assert.ok([200, 304].includes(ifNoneMatch.status))
          const plain = await ask('young', range)
          assert.equal(plain.status, 206)
          assert.ok(plain.body.equals(contentOf(version, 5, 10)))
        } else {
          assert.match(etag, /^"/)
          assert.equal(versions.get(etag), undefined, 'two contents with one strong ETag')
          versions.set(etag, version)
        }
      }
      const [young, old] = [median(latencies.young), median(latencies.old)]
      t.diagnostic(JSON.stringify({ weak, youngMs: round(young), oldMs: round(old) }))
    })

    it('two contents of one size within a tick of the clock never share a strong ETag', async (t) => {
      const root = tempFolder(t)
      const server = await serve(t, root, ['--mode', mode, '--log-level', 'info'])
      const client = RawClient.connect(t, server.origin)
      const path = join(root, 'file')
      const mtime = () => fs.statSync(path, { bigint: true }).mtimeNs
      const wrong: string[] = []
      let sameTick = 0
      for (let n = 0; n < 50; n++) {
        // a tick has just begun when the time of a write differs from that of the one before
        writeOver(path, contentOf(0, 0, 4096))
        for (const begun = mtime(); mtime() === begun; ) writeOver(path, contentOf(0, 0, 4096))
        const answers: { time: bigint; etag: string }[] = []
        for (const version of [1, 2]) {
          writeOver(path, contentOf(version, 0, 4096))
          const time = mtime()
          client.get('/files/file')
          const answer = await client.answer()
          assert.equal(answer?.status, 200)
          if (!answer.body.equals(contentOf(version, 0, 4096))) wrong.push('the content before')
          answers.push({ time, etag: answer.headers.get('etag') ?? '' })
        }
        const [first, second] = answers
        if (first?.time === second?.time) sameTick++
        if (first?.etag === second?.etag && first?.etag.startsWith('"')) wrong.push('one ETag')
      }
      t.diagnostic(`${sameTick} of 50 within one tick`)
      assert.deepEqual(countEach(wrong), {})
    })
  })
}

/** Created when it is not there; the size stays otherwise. */
function writeOver(path: string, bytes: Buffer): void {
  const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_CREAT)
  fs.writeSync(fd, bytes, 0, bytes.length, 0)
  fs.closeSync(fd)
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[numbers.length >> 1] as number
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10
}

/** How often each text occurs, whatever positions it names. */
function countEach(texts: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const text of texts) {
    const key = text.replaceAll(/\d+-\d*:/g, 'a range:')
    counts[key] = (counts[key] ?? 0) + 1
  }
  return counts
}

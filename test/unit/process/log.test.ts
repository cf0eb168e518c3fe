/** The log while nobody reads it. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { openLog } from '#src/process/log.ts'
import { tempFolder } from '../../support/serve.ts'

describe('the log', () => {
  it('drops and counts lines rather than waiting for a reader, and tears none apart', async (t) => {
    const fifo = path.join(tempFolder(t), 'fifo')
    execFileSync('mkfifo', [fifo])
    const fd = fs.openSync(fifo, fs.constants.O_RDWR | fs.constants.O_NONBLOCK)
    const { log, counts, end } = openLog('info', fd)
    const text = 'x'.repeat(1000)
    const lines = 8000
    for (let n = 0; n < lines; n++) log.info({ n, text })
    assert.ok(counts.dropped > 1000, `${counts.dropped} dropped`)
    let read = ''
    const bytes = Buffer.alloc(64 * 1024)
    const ended = end()
    // what was kept comes, as far as the end waits for it
    for (let isOver = false; !isOver; ) {
      isOver = await Promise.race([
        ended.then(() => true),
        new Promise<false>((resolve) => setTimeout(resolve, 5, false))
      ])
      try {
        for (let count = 1; count > 0; ) {
          count = fs.readSync(fd, bytes)
          read += bytes.toString('latin1', 0, count)
        }
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'EAGAIN')
      }
    }
    fs.closeSync(fd)
    log.info('after the end')
    const numbers = read
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => (JSON.parse(line) as { n: number }).n)
    assert.ok(numbers.length > 50)
    assert.deepEqual(
      numbers,
      numbers.map((_, n) => n)
    )
    assert.ok(numbers.length + counts.dropped <= lines)
  })

  it('has a line of the access log as pino would write it', async (t) => {
    const file = path.join(tempFolder(t), 'log')
    const fd = fs.openSync(file, 'a')
    const { log, end } = openLog('info', fd)
    const fields = { reqId: 'a', path: '/f', status: 200 }
    log.info(fields, 'access')
    log.logAccess?.(JSON.stringify(fields).slice(1, -1))
    await end()
    fs.closeSync(fd)
    const lines = fs
      .readFileSync(file, 'utf8')
      .replaceAll(/"time":\d{13},/g, '')
      .split('\n')
    assert.match(lines[0] ?? '', /^\{"level":30,"pid":\d+,"hostname":".+","reqId":"a"/)
    assert.deepEqual(lines, [lines[0], lines[0], ''])
  })
})

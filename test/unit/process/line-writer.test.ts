/** Lines that leave without being waited for: none is lost uncounted, none is torn, and their order stays. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { LineWriter } from '#src/process/line-writer.ts'
import { tempFolder, until } from '../../support/serve.ts'

const mostWaitingBytes = 2 ** 20

describe('LineWriter', () => {
  it('writes to a file on the thread pool, all lines in their order', async (t) => {
    const file = path.join(tempFolder(t), 'log')
    const fd = fs.openSync(file, 'a')
    const lines = new LineWriter({ fd, isNonBlocking: false, mostWaitingBytes })
    const expected = Array.from({ length: 5000 }, (_, n) => `${n} ${'x'.repeat(n % 200)}\n`)
    for (const [n, line] of expected.entries()) {
      lines.write(line)
      // some come while others are being written
      if (n % 1000 === 0) await new Promise(setImmediate)
    }
    await lines.end(5000)
    fs.closeSync(fd)
    assert.equal(fs.readFileSync(file, 'utf8'), expected.join(''))
    assert.equal(lines.dropped, 0)
  })

  for (const isNonBlocking of [true, false]) {
    it(`counts what a full disk does not take, non-blocking ${isNonBlocking}`, async (t) => {
      const fd = fs.openSync('/dev/full', 'w')
      t.after(() => fs.closeSync(fd))
      const lines = new LineWriter({ fd, isNonBlocking, mostWaitingBytes })
      for (let n = 0; n < 10; n++) lines.write(`${n}\n`)
      await until('they are counted', () => lines.dropped === 10)
      lines.write('one more\n')
      await lines.end(5000)
      assert.equal(lines.dropped, 11)
    })
  }

  it('keeps lines for a reader of a pipe that comes late, up to its bound, whole and in order', async (t) => {
    const fifo = path.join(tempFolder(t), 'fifo')
    execFileSync('mkfifo', [fifo])
    const fd = fs.openSync(fifo, fs.constants.O_RDWR | fs.constants.O_NONBLOCK)
    t.after(() => fs.closeSync(fd))
    const lines = new LineWriter({ fd, isNonBlocking: true, mostWaitingBytes })
    const long = 'é'.repeat(250)
    const total = 4000
    for (let n = 0; n < total; n++) {
      lines.write(`${n} ${long}\n`)
      if (n % 100 === 0) await new Promise(setImmediate)
    }
    assert.ok(lines.dropped > 1000)
    let read = ''
    const bytes = Buffer.alloc(2 ** 16)
    const last = total - lines.dropped - 1
    await until('the last line comes', () => {
      try {
        read += bytes.toString('latin1', 0, fs.readSync(fd, bytes))
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'EAGAIN')
      }
      return read.includes(`\n${last} `) && read.endsWith('\n')
    })
    const text = Buffer.from(read, 'latin1').toString('utf8')
    const expected = Array.from({ length: last + 1 }, (_, n) => `${n} ${long}\n`)
    assert.equal(text, expected.join(''))
  })
})

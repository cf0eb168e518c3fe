import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { startLines } from '#src/process/start-lines.ts'
import { textLine } from '#src/process/text-line.ts'

const time = new Date(2026, 0, 2, 3, 4, 5).getTime()
const line = (fields: object, hasColours = false) =>
  textLine(JSON.stringify({ level: 30, time, pid: 1, hostname: 'a', ...fields }), hasColours)

describe('a log line for people', () => {
  it('has the time of day, the level, the message and the other fields', () => {
    assert.equal(
      line({ msg: 'not found', path: 'a/b.txt', n: 3, list: ['x'] }),
      '03:04:05 INFO  not found path=a/b.txt n=3 list=["x"]\n'
    )
    assert.equal(line({ path: 'a b', empty: '' }), '03:04:05 INFO   path="a b" empty=""\n')
  })

  it('has a stack on lines of its own', () => {
    const err = { type: 'Error', message: 'm', stack: 'Error: m\n    at x' }
    assert.equal(line({ level: 50, err, msg: 'm' }), '03:04:05 ERROR m\nError: m\n    at x\n')
  })

  it('has colours on a terminal alone', () => {
    assert.ok(line({ level: 40, msg: 'm' }, true).includes('\u001b[33mWARN'))
    assert.equal(line({ level: 40, msg: 'm' }), '03:04:05 WARN  m\n')
    assert.equal(line({ msg: 'm' }, true), '03:04:05 INFO  m\n')
  })

  it('never hands on a control character that a client has sent', () => {
    const text = fc.string({ unit: fc.integer({ min: 0, max: 0x2070 }).map(String.fromCodePoint) })
    fc.assert(
      fc.property(text, text, (msg, path) => {
        const shown = line({ msg, path }).slice(0, -1)
        assert.doesNotMatch(shown, /\p{Cc}|\u202e/u)
      })
    )
  })
})

describe('the lines at the start', () => {
  const config = { mode: 'mmap', guard: 'on', workers: 2, root: '/srv/data' } as const
  it('say where, what, how, and how it ends', () => {
    const lines = startLines(config, 'koffi', 'http://127.0.0.1:1/files/', 'http://127.0.0.1:2')
    assert.match(lines, /^ {2}Address +http:\/\/127\.0\.0\.1:1\/files\/$/m)
    assert.match(lines, /^ {2}Folder +\/srv\/data$/m)
    assert.match(lines, /^ {2}Mode +mmap by koffi, guard on, 2 processes$/m)
    assert.match(lines, /^ {2}Live page +http:\/\/127\.0\.0\.1:2\/$/m)
    assert.match(lines, /^ {2}Stop +Ctrl-C$/m)
    assert.doesNotMatch(lines, /curl/)
  })
})

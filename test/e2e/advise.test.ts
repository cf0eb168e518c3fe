/** `mmap-range-server advise` with what it cannot use. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { projectFolder } from '../support/project.ts'
import { tempFolder } from '../support/serve.ts'

function advise(...args: string[]) {
  const main = path.join(projectFolder, 'dist', 'main.js')
  return spawnSync(process.execPath, [main, 'advise', ...args], { encoding: 'utf8' })
}

describe('mmap-range-server advise', () => {
  it('--help lists its options and exits 0', () => {
    const { status, stdout } = advise('--help')
    assert.equal(status, 0)
    for (const word of ['--requests', '--memory', '--keep-cache']) assert.ok(stdout.includes(word))
  })

  it('what cannot be used is one line, exit status 2, and nothing is measured', (t) => {
    const folder = tempFolder(t)
    const write = (name: string, text: string) => {
      fs.writeFileSync(path.join(folder, name), text)
      return path.join(folder, name)
    }
    const file = write('tiles.bin', 'x'.repeat(100_000))
    const empty = write('empty.bin', '')
    const emptyLog = write('empty.log', '')
    const garbage = write('garbage.log', '\u0000\u0001\n{"path":\n"GET\n')
    const others = write(
      'others.log',
      '{"method":"GET","path":"/files/other.bin","status":206,"range":"bytes=0-9"}\n'
    )
    const wrong: readonly [string[], RegExp][] = [
      [[], /^advise: it needs a FILE; see advise --help$/],
      [[`${file}.gone`], /tiles\.bin\.gone" is not a file with bytes that this user may read$/],
      [[folder], /is not a file with bytes that this user may read$/],
      [[empty], /empty\.bin" is not a file with bytes/],
      [[file, '--requests', `${file}.log`], /^--requests .*tiles\.bin\.log" is not a file/],
      [[file, '--requests', emptyLog], /^--requests: no line is .*\(0 ask for .*, 0 are in no/],
      [[file, '--requests', garbage], /^--requests: no line is .*\(0 ask for .*, 3 are in no/],
      [[file, '--requests', others], /^--requests: no line is .*\(1 ask for other files/],
      [[file, '--memory', 'much'], /^--memory: "much" is not /],
      [[file, '--pattern', 'odd'], /^--pattern: "odd" is not /],
      [[file, '--fast'], /^Unknown option '--fast'; see advise --help$/]
    ]
    for (const [args, line] of wrong) {
      const { status, stderr, stdout } = advise(...args)
      assert.deepEqual({ status, stdout }, { status: 2, stdout: '' }, args.join(' '))
      assert.match(stderr.trimEnd(), line)
      assert.equal(stderr.trimEnd().split('\n').length, 1)
    }
  })
})

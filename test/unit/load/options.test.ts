/** What the command line of the harness refuses, and in which words. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { readCommand, UsageError } from '#load/options.ts'

describe('options of the harness', () => {
  for (const [args, line] of [
    [['--scenario', 'warm'], /^--scenario warm: it may be hot-4k, .*truncate$/],
    [['--mode', 'fast'], /^--mode fast: it may be mmap, mmap-unguarded, read/],
    [['--rounds', '0'], /^--rounds 0: it may be a whole number from 1 to 100$/],
    [['--file', 'no-such-file'], /^--file no-such-file: there is no such file that can be read$/],
    [['--data', 'no-such-folder'], /^--data no-such-folder: there is no such folder$/],
    [['--url', 'ftp://x/y'], /^--url ftp:\/\/x\/y: it may be the http or https URL of a file$/],
    [['--claim', 'speed'], /^--claim speed: it may be zero-copy, sharing, .*wrong-advice$/],
    [['--trial', '.', '--mode', 'read'], /^--claim, --trial: a claim has scenarios and modes/],
    [['--fast'], /^Unknown option '--fast' \(see --help\)$/]
  ] as const) {
    it(`${args.join(' ')} is refused`, () => {
      const isRefusal = (error: unknown) => error instanceof UsageError && line.test(error.message)
      assert.throws(() => readCommand([...args]), isRefusal)
    })
  }
})

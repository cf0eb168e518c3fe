import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, it } from 'node:test'
import { completionScript, type Shell, shells } from '#src/config/completions.ts'
import { otherFlags } from '#src/config/help.ts'
import { options } from '#src/config/options.ts'

/** @returns undefined where the shell is not installed */
function run(shell: Shell, words: readonly string[], script: string): string | undefined {
  const { error, status, stdout, stderr } = spawnSync(shell, [...words, script], {
    encoding: 'utf8'
  })
  if (error !== undefined) return undefined
  assert.equal(stderr, '')
  assert.equal(status, 0)
  return stdout
}

describe('completions', () => {
  for (const shell of shells) {
    it(`of ${shell} name each flag, and the shell can read them`, (t) => {
      const script = completionScript(shell)
      for (const { flag } of [...Object.values(options), ...otherFlags]) {
        assert.ok(script.includes(shell === 'fish' ? `-l ${flag} ` : `--${flag}`), flag)
      }
      if (run(shell, ['-nc'], script) === undefined) t.skip(`there is no ${shell}`)
    })
  }

  it('of bash complete flags, their words, shells and folders', (t) => {
    const script = completionScript('bash')
    const complete = (...words: string[]) => {
      const [word, previous] = [words.at(-1), words.at(-2)]
      const line = `COMP_WORDS=(mmap-range-server ${words.map((w) => `'${w}'`).join(' ')})`
      const call = `cd / && ${line} && COMP_CWORD=${words.length} && _mmap_range_server mmap-range-server '${word}' '${previous}' 2>/dev/null`
      return run('bash', ['-c'], `${script}\n${call}; echo "\${COMPREPLY[*]}"`)?.trim().split(' ')
    }
    if (complete('--m') === undefined) return t.skip('there is no bash')
    assert.deepEqual(complete('--wor'), ['--workers'])
    assert.deepEqual(complete('--mode', ''), ['mmap', 'read'])
    assert.deepEqual(complete('--workers', ''), ['auto'])
    assert.deepEqual(complete('--port', ''), [''])
    assert.deepEqual(complete('--mode', '=', 'r'), ['read'])
    assert.deepEqual(complete('--mode', '='), ['mmap', 'read'])
    assert.deepEqual(complete('completion', 'f'), ['fish'])
    assert.deepEqual(complete('pro'), ['proc'])
    assert.deepEqual(complete('adv'), ['advise'])
    assert.deepEqual(complete('advise', '/dev/nul'), ['/dev/null'])
    assert.deepEqual(complete('--root', 'pro'), ['proc'])
    assert.ok(complete('mmap-range-server', '-')?.includes('-p'))
  })

  it('of fish complete flags and their words', (t) => {
    const complete = (line: string) => {
      const ask = `complete -C 'mmap-range-server ${line}'`
      const lines = run('fish', ['-c'], `${completionScript('fish')}\n${ask}`)
        ?.trim()
        .split('\n')
      // each with its meaning behind a tab
      return lines?.map((found) => found.split('\t')[0])
    }
    if (complete('') === undefined) return t.skip('there is no fish')
    assert.deepEqual(complete('--wor'), ['--workers'])
    assert.deepEqual(complete('--mode '), ['mmap', 'read'])
    assert.deepEqual(complete('completion b'), ['bash'])
    assert.deepEqual(complete('adv'), ['advise'])
    assert.deepEqual(complete('advise /dev/nul'), ['/dev/null'])
    assert.deepEqual(complete('advise --wor'), [''])
  })
})

/** Every row of the option table agrees with what is made of it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { describe, it } from 'node:test'
import { readCommand } from '#src/config/command-line.ts'
import { helpText } from '#src/config/help.ts'
import { type Config, type Option, options, variableOf } from '#src/config/options.ts'
import { projectFolder } from '../../support/project.ts'

/** Names that scripts, containers and services are written against: what they name may not change. */
const lastingNames = [
  'root',
  'host',
  'port',
  'prefix',
  'mode',
  'guard',
  'workers',
  'window-bytes',
  'region-bytes',
  'max-mapped-bytes',
  'max-buffered-bytes',
  'max-open-files',
  'revalidate',
  'max-ranges',
  'symlinks',
  'dotfiles',
  'cache-control',
  'cors-origin',
  'ops-port',
  'ops-host',
  'ops-token',
  'public-ops',
  'server-timing',
  'shutdown-timeout',
  'log-level'
]

const rows: [key: string, option: Option][] = Object.entries(options)

describe('the option table', () => {
  it('has the names that must last', () => {
    const flags = rows.map(([, { flag }]) => flag)
    assert.deepEqual(
      lastingNames.filter((name) => !flags.includes(name)),
      []
    )
  })

  it('names each option once, in kebab case', () => {
    const flags = rows.map(([, { flag }]) => flag)
    assert.equal(new Set(flags).size, flags.length)
    for (const flag of flags) assert.match(flag, /^[a-z]+(-[a-z]+)*$/)
  })

  it('names the key of the configuration after the flag, with the unit of a time at its end', () => {
    for (const [key, { flag }] of rows) {
      const camelCase = flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
      assert.ok(key === camelCase || key === `${camelCase}Ms`, `${key}: --${flag}`)
    }
  })

  it('has a help of one line for each option, in the order of the table', () => {
    const lines = helpText()
      .split('\n')
      .filter((line) => line.startsWith('  --') && !line.startsWith('  --help'))
    assert.equal(lines.length, rows.length)
    for (const [i, [, option]] of rows.entries()) {
      const { flag, value, help } = option
      assert.ok(lines[i]?.startsWith(`  --${flag} ${value} `), lines[i])
      assert.ok(lines[i]?.endsWith(` ${help} (${option.shownDefault ?? option.default})`), lines[i])
    }
  })

  it('is the table of README.md', () => {
    const script = path.join(projectFolder, 'scripts', 'options-table.mjs')
    const { status, stderr } = spawnSync(process.execPath, [script, '--check'], {
      encoding: 'utf8'
    })
    assert.equal(status, 0, stderr)
  })

  for (const [key, option] of rows) {
    const { flag } = option
    const variable = variableOf(option)

    it(`--${flag} and ${variable} take the default of --help, and mean the same`, () => {
      const standard = read([])[key as keyof Config]
      assert.deepEqual(read([`--${flag}=${option.default}`])[key as keyof Config], standard)
      assert.deepEqual(read([], { [variable]: option.default })[key as keyof Config], standard)
    })
  }
})

function read(argv: readonly string[], env: Record<string, string> = {}): Config {
  const command = readCommand(argv, env, '1.2.3')
  assert.ok(command.kind === 'serve')
  return command.config
}

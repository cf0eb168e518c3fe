/** Every row of the option table agrees with what is made of it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { describe, it } from 'node:test'
import { readCommand } from '#src/config/command-line.ts'
import { groupsOfOptions, helpText } from '#src/config/help.ts'
import { type Config, choicesOf, type Option, options, variableOf } from '#src/config/options.ts'
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
  'access-log',
  'trust-proxy',
  'pin',
  'server-timing',
  'shutdown-timeout',
  'log-level',
  'log-format',
  'index'
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

  it('has each row in --help once, under its heading, with its meaning and its default', () => {
    const text = helpText()
    // as it was before it was broken into lines
    const paragraphs = text.split(/\n(?= {2}(?:-\w, | {4})--|\n)/).map((lines) => {
      return lines.trim().replaceAll(/\s+/g, ' ')
    })
    const shown = groupsOfOptions().flatMap(([title, inGroup]) => {
      assert.ok(text.includes(`\n${title}:\n`), title)
      return inGroup
    })
    assert.deepEqual(new Set(shown), new Set(rows.map(([, option]) => option)))
    assert.equal(shown.length, rows.length)
    for (const { flag, short, help, ...option } of shown) {
      const name = short === undefined ? `--${flag} ` : `-${short}, --${flag} `
      const own = paragraphs.filter((paragraph) => paragraph.startsWith(name))
      assert.equal(own.length, 1, flag)
      assert.ok(own[0]?.includes(` ${help}`), own[0])
      assert.ok(own[0]?.endsWith(` (${option.shownDefault ?? option.default})`), own[0])
    }
    for (const line of text.split('\n')) assert.ok(line.length <= 80, line)
  })

  it('begins --help with what is used most', () => {
    assert.match(helpText(), /^Usage: mmap-range-server \[DIR\]/)
    assert.match(helpText().split('\n\n')[2] ?? '', /^Most used:\n {6}--root DIR /)
  })

  it('is the table of docs/options.md, and the manual page', () => {
    const script = path.join(projectFolder, 'scripts', 'options-table.mjs')
    const { status, stderr } = spawnSync(process.execPath, [script, '--check'], {
      encoding: 'utf8'
    })
    assert.equal(status, 0, stderr)
  })

  it('names the words that an option may be given, and takes each of them', () => {
    for (const [, option] of rows) {
      for (const word of choicesOf(option)) assert.doesNotThrow(() => option.parse(word), word)
    }
    assert.deepEqual(choicesOf(options.workers), ['auto'])
    assert.deepEqual(choicesOf(options.root), [])
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

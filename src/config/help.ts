/** The text of --help. */
import { type Option, options } from './options.ts'

const leftColumns = 32

export function helpText(): string {
  return [
    'Serves byte ranges of files over HTTP from memory-mapped regions.',
    '',
    'usage: node dist/main.js [options]',
    '',
    ...Object.values(options).map(helpLine),
    `${'  --help, --version'.padEnd(leftColumns)} print this, or the version, and exit`,
    '',
    'Sizes take bytes or KiB, MiB, GiB; times take ms, s, m. Each option may come from an environment',
    'variable of the same name in upper snake case (MAX_RANGES=8); a flag wins over the variable.'
  ].join('\n')
}

function helpLine(option: Option): string {
  const left = `  --${option.flag} ${option.value}`.padEnd(leftColumns)
  return `${left} ${option.help} (${option.shownDefault ?? option.default})`
}

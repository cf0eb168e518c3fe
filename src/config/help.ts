/** The text of --help. */
import { type Option, optionGroups, options } from './options.ts'

export const programName = 'mmap-range-server'

/** What else the command line takes: words and flags that are no rows of the table. */
export const otherFlags = [
  { flag: 'help', short: 'h', help: 'print this and exit' },
  { flag: 'version', short: 'V', help: 'print the version and exit' }
] as const

// of a terminal, and how many of them stand before the meaning of an option
const columns = 80
const leftColumns = 30

export function helpText(): string {
  return [
    `Usage: ${programName} [DIR] [options]`,
    `       ${programName} advise FILE... (see advise --help)`,
    `       ${programName} completion bash|zsh|fish`,
    '',
    'Serves byte ranges of the files in DIR over HTTP, from mapped memory.',
    '',
    ...groupsOfOptions().flatMap(([title, rows]) => [`${title}:`, ...rows.flatMap(helpLines), '']),
    'Other:',
    ...otherFlags.flatMap(({ flag, short, help }) => paragraph(`-${short}, --${flag}`, help)),
    '',
    'Sizes take bytes or KiB, MiB, GiB; times take ms, s, m. Each option may come',
    'from an environment variable of the same name in upper snake case',
    '(MAX_RANGES=8); a flag wins over the variable.'
  ].join('\n')
}

/** The rows of the table under their headings, in the order of --help. */
export function groupsOfOptions(): readonly (readonly [title: string, rows: readonly Option[]])[] {
  const rows: readonly Option[] = Object.values(options)
  return Object.entries(optionGroups).map(([group, title]) => {
    return [title, rows.filter((row) => row.group === group)] as const
  })
}

function helpLines({ flag, short, value, help, ...option }: Option): string[] {
  const name = short === undefined ? `    --${flag}` : `-${short}, --${flag}`
  // words that may be given stand in the text where they are many
  const isLong = value.length > 20
  const text = isLong ? `${help}: ${value.replaceAll('|', ', ')}` : help
  const left = `${name} ${isLong ? lastWordOf(flag) : value}`
  return paragraph(left, `${text} (${option.shownDefault ?? option.default})`)
}

function lastWordOf(flag: string): string {
  return flag.slice(flag.lastIndexOf('-') + 1).toUpperCase()
}

/** A text beside a name, or below it where the name is too long. */
function paragraph(name: string, text: string): string[] {
  const lines: string[] = ['']
  for (const word of text.split(' ')) {
    const line = lines[lines.length - 1] as string // there is always one
    const longer = line === '' ? word : `${line} ${word}`
    if (longer.length > columns - leftColumns) lines.push(word)
    else lines[lines.length - 1] = longer
  }
  const left = `  ${name}`
  const isTooLong = left.length > leftColumns - 2
  const [first = '', ...rest] = isTooLong ? ['', ...lines] : lines
  const indented = rest.map((line) => ' '.repeat(leftColumns) + line)
  return [(left.padEnd(leftColumns) + first).trimEnd(), ...indented]
}

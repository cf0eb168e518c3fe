// Writes the table of options into README.md, between its two comments, from the option table of the service.
// With --check it writes nothing, and exits 1 when README.md differs. Needs `npm run build`.
import { readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import optionTable from '../dist/config/options.js'

const readme = join(dirname(dirname(fileURLToPath(import.meta.url))), 'README.md')
const begin = '<!-- options: written by npm run docs:options -->\n'
const end = '<!-- end of options -->\n'

const before = readFileSync(readme, 'utf8')
const after = withTable(before, tableOf(Object.values(optionTable.options)))
if (!process.argv.includes('--check')) {
  writeFileSync(readme, after)
} else if (after !== before) {
  console.error('The options of README.md are not those of the service: npm run docs:options')
  process.exitCode = 1
}

function withTable(text, table) {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from === -1 || to < from) throw new Error(`README.md lacks ${begin}or ${end}`)
  return text.slice(0, from + begin.length) + table + text.slice(to)
}

/** @param options rows of src/config/options.ts */
function tableOf(options) {
  const rows = options.map(({ flag, value, shownDefault, help, ...option }) => {
    const standard = shownDefault ?? code(option.default)
    return `| ${code(`--${flag} ${value}`)} | ${standard} | ${meaningOf(help)} |\n`
  })
  return ['| option | default | meaning |\n', '| --- | --- | --- |\n', ...rows].join('')
}

/** In "off: never; auto: sometimes", what stands before a colon is a value. */
function meaningOf(help) {
  const escaped = help.replace(/[*_|<]/g, '\\$&')
  return escaped.replace(/(^|[;.,] )(\w+): /g, (_, before, word) => `${before}${code(word)}: `)
}

/** Between cells, "|" is escaped in code as well (GitHub Flavored Markdown, tables). */
function code(text) {
  return `\`${text.replaceAll('|', '\\|')}\``
}

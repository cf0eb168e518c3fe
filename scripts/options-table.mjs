// Writes what is made of the option table of the service: the table of docs/options.md, between its two comments, and
// the manual page. With --check it writes nothing, and exits 1 when one of them differs. Needs `npm run build`.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import helpText from '../dist/config/help.js'
import { manPage } from './man-page.mjs'

const projectFolder = dirname(dirname(fileURLToPath(import.meta.url)))
const begin = '<!-- options: written by npm run docs:options -->\n'
const end = '<!-- end of options -->\n'

const groups = helpText.groupsOfOptions()
const [, released] = /^## \d\S* - (\S+)$/m.exec(read('CHANGELOG.md'))
const wanted = {
  'docs/options.md': withTable(read('docs/options.md'), groups.map(tableOf).join('\n')),
  'man/mmap-range-server.1': manPage(groups, new Date(released))
}
for (const [file, text] of Object.entries(wanted)) {
  if (!process.argv.includes('--check')) {
    mkdirSync(dirname(join(projectFolder, file)), { recursive: true })
    writeFileSync(join(projectFolder, file), text)
  } else if (read(file) !== text) {
    console.error(`The options of ${file} are not those of the service: npm run docs:options`)
    process.exitCode = 1
  }
}

function read(file) {
  return readFileSync(join(projectFolder, file), 'utf8')
}

function withTable(text, table) {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from === -1 || to < from) throw new Error(`docs/options.md lacks ${begin}or ${end}`)
  return text.slice(0, from + begin.length) + table + text.slice(to)
}

/** @param group a heading, and rows of src/config/options.ts */
function tableOf([title, options]) {
  const rows = options.map(({ flag, value, shownDefault, help, ...option }) => {
    const standard = shownDefault ?? code(option.default)
    return `| ${code(`--${flag} ${value}`)} | ${standard} | ${meaningOf(help)} |\n`
  })
  return [
    `## ${title}\n\n`,
    '| option | default | meaning |\n',
    '| --- | --- | --- |\n',
    ...rows
  ].join('')
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

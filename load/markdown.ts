/** The report as Markdown, for docs/. */
import type { Chart } from './charts.ts'
import { checkReading, facts, reading } from './page.ts'
import { cellsOf, checkCells, columns, type Report, sectionsOf } from './report.ts'
import { rowsOf } from './statistics.ts'

/** @param charts whose pictures lie in the folder `results` beside it */
export function markdown(report: Report, charts: readonly Chart[]): string {
  const pictures = charts.map(
    ({ name, title, sentence }) => `## ${title}\n\n${sentence}\n\n![${title}](results/${name}.svg)`
  )
  const sections = sectionsOf(report)
  const verdicts = sections.flatMap(({ name, verdicts }) =>
    verdicts.slice(0, 1).map(({ sentence }) => `- **${name}**: ${sentence}.`)
  )
  const tables = sections.map(({ name, says, rows, verdicts, notes }) => {
    const sentences = [...verdicts.map(({ sentence }) => sentence), ...notes]
    const cells = [columns.map(([title]) => title), ...rows.map(cellsOf)]
    const list = sentences.map((sentence) => `- ${sentence}.`).join('\n')
    return `### ${name}\n\n${says}\n\n${tableOf(cells)}\n\n${list}`.trimEnd()
  })
  const { generatorChecks } = report
  const checks =
    generatorChecks.length === 0
      ? []
      : ['## The load generator against wrk', checkReading, tableOf(checkCells(generatorChecks))]
  const left = report.skipped.map(({ what, why }) => `Left out: ${what}: ${why}`)
  return `${[
    '# Results',
    'Written by `npm run load -- --docs docs` from one run; not edited.',
    reading(report),
    '## Verdicts',
    verdicts.join('\n'),
    ...pictures,
    '## All figures',
    ...tables,
    ...checks,
    ...left,
    '## Where and how',
    facts(report)
      .map(([name, value]) => `- ${name}: ${value}`)
      .join('\n')
  ].join('\n\n')}\n`
}

/** @param cells the first line is that of titles */
export function tableOf(cells: readonly (readonly string[])[]): string {
  const [titles = [], ...lines] = cells
  const all = [titles, titles.map((_, i) => (i === 0 ? '---' : '---:')), ...lines]
  return all.map((line) => `| ${line.join(' | ')} |`).join('\n')
}

const begin = '<!-- results: written by npm run load -- --docs docs -->'
const end = '<!-- end of results -->'

/** @returns the text with the main table between its marks; without marks it stays as it is */
export function withMainTable(text: string, report: Report): string {
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from === -1 || to < from) return text
  return `${text.slice(0, from + begin.length)}\n${mainTable(report)}\n${text.slice(to)}`
}

/** Requests per second and the latency of 99 % of them; a scenario a line, a mode a column. */
function mainTable({ settings, trials }: Report): string {
  const modes = settings.modes.map(({ name }) => name)
  const lines = settings.scenarios.map(({ name, says }) => {
    const rows = rowsOf(trials, name)
    const cells = modes.map((mode) => {
      const row = rows.find((each) => each.mode === mode)
      if (row === undefined) return ''
      const rate = row.requestsPerSecond.toLocaleString('en', { maximumFractionDigits: 0 })
      return `${rate}; ${row.latencyMs.p99.toLocaleString('en', { maximumSignificantDigits: 2 })} ms`
    })
    return [says, ...cells]
  })
  return tableOf([['requests per second; p99', ...modes], ...lines])
}

/** The report as Markdown, for docs/. */
import type { Chart } from './charts.ts'
import { facts, reading } from './page.ts'
import { cellsOf, columns, type Report } from './report.ts'
import { rowsOf } from './statistics.ts'

/** @param charts whose pictures lie in the folder `results` beside it */
export function markdown(report: Report, charts: readonly Chart[]): string {
  const pictures = charts.map(
    ({ name, title, sentence }) => `## ${title}\n\n${sentence}\n\n![${title}](results/${name}.svg)`
  )
  const tables = report.settings.scenarios.flatMap(({ name, says }) => {
    const rows = rowsOf(report.trials, name)
    if (rows.length === 0) return []
    const head = [
      columns.map(([title]) => title),
      columns.map((_, i) => (i === 0 ? '---' : '---:'))
    ]
    const lines = [...head, ...rows.map(cellsOf)].map((cells) => `| ${cells.join(' | ')} |`)
    return [`### ${name}\n\n${says}\n\n${lines.join('\n')}`]
  })
  const left = report.skipped.map(({ what, why }) => `Left out: ${what}: ${why}`)
  return `${[
    '# Results',
    'Written by `npm run load -- --docs docs` from one run; not edited.',
    reading(report),
    ...pictures,
    '## All figures',
    ...tables,
    ...left,
    '## Where and how',
    facts(report)
      .map(([name, value]) => `- ${name}: ${value}`)
      .join('\n')
  ].join('\n\n')}\n`
}

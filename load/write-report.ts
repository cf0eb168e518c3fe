/** The report as files: as JSON, as a page, as Markdown. */
import fs from 'node:fs'
import path from 'node:path'
import { allCharts } from './charts.ts'
import { markdown, withMainTable } from './markdown.ts'
import type { Options } from './options.ts'
import { page, picture } from './page.ts'
import { type Report, sectionsOf } from './report.ts'

/** @returns the file with what was measured of a claim, in the form of results.json */
export function writeClaim(out: string, name: string, report: Report): string {
  const file = claimFile(out, name)
  fs.mkdirSync(path.dirname(file), { recursive: true })
  fs.writeFileSync(file, `${JSON.stringify(report, undefined, 2)}\n`)
  return path.relative('.', file)
}

/** @returns undefined where nothing is kept of this claim */
export function readClaim(out: string, name: string): Report | undefined {
  const file = claimFile(out, name)
  return fs.existsSync(file) ? (JSON.parse(fs.readFileSync(file, 'utf8')) as Report) : undefined
}

function claimFile(out: string, name: string): string {
  return path.join(out, 'claims', `${name}.json`)
}

/** @returns the files that were written, as a user would name them */
export function writeReport(report: Report, { out, docs }: Options): string[] {
  const charts = allCharts(report)
  const verdicts = sectionsOf(report).flatMap((section) => section.verdicts)
  const files: [string, string][] = [
    [path.join(out, 'results.json'), `${JSON.stringify({ ...report, verdicts }, undefined, 2)}\n`],
    [path.join(out, 'report.html'), page(report, charts)]
  ]
  if (docs !== undefined) {
    files.push([path.join(docs, 'results.md'), markdown(report, charts)])
    const readme = path.join(docs, '..', 'README.md')
    if (fs.existsSync(readme)) {
      files.push([readme, withMainTable(fs.readFileSync(readme, 'utf8'), report)])
    }
    for (const chart of charts) {
      files.push([path.join(docs, 'results', `${chart.name}.svg`), picture(chart)])
    }
  }
  for (const [file, content] of files) {
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, content)
  }
  return files.map(([file]) => path.relative('.', file))
}

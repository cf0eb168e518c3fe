/** The report as one page that needs no network, and its charts as pictures. */
import fs from 'node:fs'
import { confidence, smallestEffect } from '#src/advise/statistics.ts'
import type { Chart } from './charts.ts'
import { cellsOf, checkCells, columns, type Report, sectionsOf } from './report.ts'

// the same file draws in the page, and its pictures here
const library = require.resolve('echarts/dist/echarts.min.js')
const echarts: typeof import('echarts') = require(library)

const style = `
:root { color-scheme: light dark; --line: #8884; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { line-height: 1.2; } h2 { margin-top: 2.5rem; line-height: 1.25; }
.chart { width: 100%; height: 26rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; font-size: .875rem; }
dt { opacity: .7; } dd { margin: 0; }
@media (max-width: 40rem) { .chart { height: 22rem; } dl { grid-template-columns: 1fr; } dd { margin-bottom: .5rem; } }
`

// each chart is drawn again when the window changes its size, or the reader between light and dark
const script = `
const dark = matchMedia('(prefers-color-scheme: dark)')
let drawn = []
function draw() {
  for (const chart of drawn) chart.dispose()
  drawn = charts.map(({ name, option }) => {
    const chart = echarts.init(document.getElementById(name), dark.matches ? 'dark' : undefined)
    chart.setOption(option)
    return chart
  })
}
draw()
dark.addEventListener('change', draw)
addEventListener('resize', () => { for (const chart of drawn) chart.resize() })
`

export function page(report: Report, charts: readonly Chart[]): string {
  // within a script element nothing else may end it
  const data = JSON.stringify(charts.map(({ name, option }) => ({ name, option }))).replaceAll(
    '<',
    '\\u003c'
  )
  const sections = charts.map(
    ({ name, title, sentence }) => `<section>
<h2>${escaped(title)}</h2>
<p>${escaped(sentence)}</p>
<div class="chart" id="${name}" role="img" aria-label="${escaped(`${title}. ${sentence}`)}"></div>
</section>`
  )
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Range serving: modes side by side</title>
<style>${style}</style>
</head>
<body>
<h1>Range serving: modes side by side</h1>
${verdictList(report)}
<p>${escaped(reading(report))}</p>
${sections.join('\n')}
<h2>All figures</h2>
${tables(report)}
<h2>Where and how</h2>
<dl>${facts(report)
    .map(([name, value]) => `<dt>${escaped(name)}</dt><dd>${escaped(value)}</dd>`)
    .join('\n')}</dl>
<script>${fs.readFileSync(library, 'utf8').replaceAll('</script', '<\\/script')}</script>
<script>const charts = ${data}\n${script}</script>
</body>
</html>
`
}

/** How to read it. */
export function reading({ settings }: Report): string {
  const first = settings.modes[0]?.name ?? 'the first'
  return `Each figure is the median of interleaved rounds (${settings.rounds}, of ${settings.secondsOfTrial} s each). Ratios are to ${first} in the same round, above 1 is more than it; their interval, of ${confidence * 100} %, is that of a paired t-test on the logarithm of the ratio. A difference below ${smallestEffect * 100} % does not count. Latency is seen from the client, in steps of a microsecond. Where requests come at a fixed rate, none is sent early or late on purpose, and an answer that is late also counts for the requests that it held up (coordinated omission); elsewhere each connection asks again when it is answered, so that latencies say nothing about a rate. The column load is the CPU of the load generator, as a share of one. A dash: this server does not tell.`
}

/** How to read the table of the load generator against wrk. */
export const checkReading =
  'Both ask one server of one file, one after the other, in turns. Where wrk sees more than 1.1 times as much, the load generator of the harness was the limit; its column of load says so as well.'

function verdictList(report: Report): string {
  const items = sectionsOf(report).flatMap(({ name, verdicts }) =>
    verdicts
      .slice(0, 1)
      .map(({ sentence }) => `<li><b>${escaped(name)}</b>: ${escaped(sentence)}.</li>`)
  )
  return `<ul>${items.join('\n')}</ul>`
}

function tables(report: Report): string {
  const parts = sectionsOf(report).map(({ name, says, rows, verdicts, notes }) => {
    const sentences = [...verdicts.map(({ sentence }) => sentence), ...notes]
    return `<h3>${escaped(name)}</h3>
<p>${escaped(says)}</p>
${tableOf([columns.map(([title]) => title), ...rows.map(cellsOf)])}
<ul>${sentences.map((sentence) => `<li>${escaped(sentence)}.</li>`).join('')}</ul>`
  })
  const { generatorChecks } = report
  const checks =
    generatorChecks.length === 0
      ? []
      : [
          `<h3>The load generator against wrk</h3><p>${escaped(checkReading)}</p>`,
          tableOf(checkCells(generatorChecks))
        ]
  const left = report.skipped.map(
    ({ what, why }) => `<p>Left out: ${escaped(`${what}: ${why}`)}</p>`
  )
  return [...parts, ...checks, ...left].join('\n')
}

function tableOf([titles = [], ...lines]: readonly (readonly string[])[]): string {
  const head = titles.map((title) => `<th>${escaped(title)}</th>`).join('')
  const body = lines.map(
    (line) => `<tr>${line.map((cell) => `<td>${escaped(cell)}</td>`).join('')}</tr>`
  )
  return `<div class="table"><table><tr>${head}</tr>${body.join('')}</table></div>`
}

/** What else a reader must know, to repeat it or to doubt it. */
export function facts({ machine, settings, trials }: Report): [string, string][] {
  const MiB = (bytes: number | undefined) =>
    bytes === undefined ? 'of a running server' : `${Math.round(bytes / 2 ** 20)} MiB`
  const proved = trials.filter(({ isStateProved }) => isStateProved).length
  const samples = trials.reduce((sum, { result }) => sum + result.samplesCompared, 0)
  const wrong = trials.reduce((sum, { result }) => sum + result.wrongBytes, 0)
  return [
    ['date', machine.date],
    [
      'machine',
      `${machine.cpus} × ${machine.cpu}, ${MiB(machine.memoryBytes)}, ${machine.architecture}`
    ],
    ['kernel, file system', `${machine.kernel}, ${machine.fileSystem ?? 'unknown'}`],
    ['readahead of its device', readAhead(machine.readAheadKiB)],
    ['Node', machine.node],
    ['version', `${machine.version}, ${machine.commit ?? 'no commit'}`],
    ['CPUs', machine.pinning],
    ['files', `${MiB(settings.mainFileBytes)}; large: ${MiB(settings.largeFileBytes)}`],
    ['seed of the ranges', `${settings.seed}`],
    ['in memory or not, before and after', `proved in ${proved} of ${trials.length} trials`],
    ['bytes compared', `${samples} sampled answers, ${wrong} wrong`],
    ['modes', settings.modes.map(({ name, says }) => `${name}: ${says}`).join('; ')]
  ]
}

function readAhead(kibibytes: number | undefined): string {
  return kibibytes === undefined ? 'unknown' : `${kibibytes} KiB`
}

/** A chart as SVG, on white so that it can be read on any page. */
export function picture({ option, title }: Chart): string {
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: 800, height: 420 })
  chart.setOption({
    ...option,
    backgroundColor: '#fff',
    aria: { enabled: true, description: title }
  })
  const svg = chart.renderToSVGString()
  chart.dispose()
  return `${svg}\n`
}

function escaped(text: string): string {
  const names: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
  return text.replace(/[&<>"]/g, (character) => names[character] as string)
}

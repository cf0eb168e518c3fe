/** The report as one page that needs no network, and its charts as pictures. */
import fs from 'node:fs'
import type { Chart } from './charts.ts'
import { cellsOf, columns, type Report } from './report.ts'
import { rowsOf } from './statistics.ts'

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
  const [first] = settings.modes
  return `Each figure is the median of interleaved rounds (${settings.rounds}, of ${settings.secondsOfTrial} s each); ratios are to ${first?.name ?? 'the first'} in the same round, above 1 is more than it. Latency is seen from the client, in steps of a microsecond. A dash: this server does not tell.`
}

function tables({ settings, trials, skipped }: Report): string {
  const head = `<tr>${columns.map(([title]) => `<th>${escaped(title)}</th>`).join('')}</tr>`
  const parts = settings.scenarios.map(({ name, says }) => {
    const rows = rowsOf(trials, name)
    if (rows.length === 0) return ''
    const body = rows.map((row) => {
      const cells = cellsOf(row).map((cell) => `<td>${escaped(cell)}</td>`)
      return `<tr>${cells.join('')}</tr>`
    })
    return `<h3>${escaped(name)}</h3>
<p>${escaped(says)}</p>
<div class="table"><table>${head}${body.join('')}</table></div>`
  })
  const left = skipped.map(({ what, why }) => `<p>Left out: ${escaped(`${what}: ${why}`)}</p>`)
  return [...parts, ...left].join('\n')
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
    ['Node', machine.node],
    ['version', `${machine.version}, ${machine.commit ?? 'no commit'}`],
    ['CPUs', machine.pinning],
    ['files', `${MiB(settings.mainFileBytes)}; large: ${MiB(settings.largeFileBytes)}`],
    ['seed of the ranges', `${settings.seed}`],
    ['in memory before', `proved in ${proved} of ${trials.length} trials`],
    ['bytes compared', `${samples} sampled answers, ${wrong} wrong`],
    ['modes', settings.modes.map(({ name, says }) => `${name}: ${says}`).join('; ')]
  ]
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

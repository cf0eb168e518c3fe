/** What is drawn, as options of ECharts that are plain data, and a sentence for each that its figures make. */
import { timelineMilliseconds } from './job.ts'
import type { Report } from './report.ts'
import { type Row, rowsOf } from './statistics.ts'

export interface Chart {
  readonly name: string
  readonly title: string
  /** what it shows on this data, whoever wins */
  readonly sentence: string
  readonly option: Record<string, unknown>
}

// one for each mode, wherever it appears; told apart on light and on dark, and by the colour-blind (Okabe, Ito)
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#999999']

const common = {
  animation: false,
  backgroundColor: 'transparent',
  legend: { type: 'scroll', top: 0 },
  tooltip: { trigger: 'axis' },
  grid: { left: 8, right: 16, top: 56, bottom: 36, containLabel: true }
}

/** In the order of the report: the one that explains the project first. */
export function allCharts(report: Report): Chart[] {
  const stall = latencies(report, 'stall', 'Hot requests while others read what is not in memory')
  const rest = report.settings.scenarios
    .filter(({ name }) => name !== 'stall')
    .map(({ name, says }) => latencies(report, name, `Latency: ${says}`))
  const charts = [stall, throughput(report), ...timelines(report), ...rest]
  return charts.filter((chart) => chart !== undefined)
}

function colourOf({ settings }: Report, mode: string): string {
  const index = settings.modes.findIndex(({ name }) => name === mode)
  return colours[index % colours.length] as string
}

const steps = [
  ['p50', '50 %'],
  ['p75', '75 %'],
  ['p90', '90 %'],
  ['p99', '99 %'],
  ['p999', '99.9 %'],
  ['p9999', '99.99 %'],
  ['max', 'all']
] as const

function latencies(report: Report, scenario: string, title: string): Chart | undefined {
  // who answered nothing has no latency, and a logarithm no zero
  const rows = rowsOf(report.trials, scenario).filter((row) => row.requestsPerSecond > 0)
  if (rows.length === 0) return undefined
  return {
    name: `latency-${scenario}`,
    title,
    sentence: latencySentence(rows),
    option: {
      ...common,
      xAxis: {
        type: 'category',
        name: 'share of requests that took at most this long',
        nameLocation: 'middle',
        nameGap: 26,
        data: steps.map(([, label]) => label)
      },
      yAxis: { type: 'log', name: 'ms', axisLabel: { formatter: '{value}' } },
      series: rows.map((row) => ({
        name: row.mode,
        type: 'line',
        color: colourOf(report, row.mode),
        data: steps.map(([key]) => rounded(row.latencyMs[key]))
      }))
    }
  }
}

/** The slowest is compared with the first at p99, which is where modes differ. */
export function latencySentence(rows: readonly Row[]): string {
  const [first] = rows
  const others = rows.slice(1).filter(({ latencyMs }) => latencyMs.p99 > 0)
  if (first === undefined || others.length === 0) return 'Only one was measured.'
  const told = others.map(({ mode, latencyMs }) => {
    const ratio = latencyMs.p99 / first.latencyMs.p99
    const how = Math.abs(ratio - 1) < 0.1 ? 'about the same' : `${times(ratio)} that`
    return `${mode} ${ms(latencyMs.p99)} (${how})`
  })
  return `Of 100 requests, 99 took at most ${ms(first.latencyMs.p99)} with ${first.mode}; ${told.join(', ')}.`
}

const sizesInOrder = ['hot-4k', 'hot-64k', 'hot-1m', 'hot-16m']

function throughput(report: Report): Chart | undefined {
  const scenarios = sizesInOrder.filter((name) => rowsOf(report.trials, name).length > 0)
  if (scenarios.length === 0) return undefined
  const modes = report.settings.modes.map(({ name }) => name)
  const rowFor = (scenario: string, mode: string) =>
    rowsOf(report.trials, scenario).find((row) => row.mode === mode)
  return {
    name: 'throughput',
    title: 'Throughput by size of the range, all in memory',
    sentence: scenarios
      .map((name) => throughputSentence(name, rowsOf(report.trials, name)))
      .join(' '),
    option: {
      ...common,
      xAxis: { type: 'category', data: scenarios.map((name) => name.slice('hot-'.length)) },
      yAxis: { type: 'log', name: 'MB/s' },
      series: modes
        .filter((mode) => scenarios.some((scenario) => rowFor(scenario, mode)))
        .map((mode) => ({
          name: mode,
          type: 'bar',
          color: colourOf(report, mode),
          data: scenarios.map((scenario) => rounded(rowFor(scenario, mode)?.megabytesPerSecond))
        }))
    }
  }
}

/** Who is fastest, and where the first stands. */
export function throughputSentence(scenario: string, rows: readonly Row[]): string {
  const [first] = rows
  const fastest = [...rows].sort((a, b) => b.requestsPerSecond - a.requestsPerSecond)[0]
  if (first === undefined || fastest === undefined) return ''
  if (fastest === first) return `${scenario}: ${first.mode} is the fastest.`
  return `${scenario}: ${fastest.mode} is the fastest, with ${times(fastest.ratioToFirst)} the requests of ${first.mode}.`
}

/** Of the run that is larger than memory: requests and major faults, over time, in the first round. */
function timelines(report: Report): Chart[] {
  const own = report.trials.filter(
    ({ scenario, round }) => scenario === 'larger-than-memory' && round === 0
  )
  if (own.length === 0) return []
  const perSecond = 1000 / timelineMilliseconds
  const length = Math.max(
    ...own.map(({ result, timelineMajorFaults }) =>
      Math.max(result.timelineRequests.length, timelineMajorFaults.length)
    )
  )
  const faults = own.map(({ mode, used }) => `${mode} ${used.majorFaults ?? 'unknown'}`)
  const requests = own.map(({ mode, result }) => `${mode} ${result.requests.toLocaleString('en')}`)
  return [
    {
      name: 'larger-than-memory',
      title: 'A file four times as large as the memory, over time',
      sentence: `Requests answered: ${requests.join(', ')}. Major page faults: ${faults.join(', ')}.`,
      option: {
        ...common,
        grid: [
          { left: 64, right: 16, top: 56, height: '30%' },
          { left: 64, right: 16, bottom: 44, height: '30%' }
        ],
        xAxis: [0, 1].map((gridIndex) => ({
          type: 'category',
          gridIndex,
          name: gridIndex === 1 ? 'seconds' : '',
          nameLocation: 'middle',
          nameGap: 26,
          data: Array.from({ length }, (_, i) => (i / perSecond).toString())
        })),
        yAxis: [
          { type: 'value', name: 'requests/s', gridIndex: 0 },
          { type: 'value', name: 'major faults/s', gridIndex: 1 }
        ],
        series: own.flatMap(({ mode, result, timelineMajorFaults }) => {
          const line = {
            name: mode,
            type: 'line',
            showSymbol: false,
            color: colourOf(report, mode)
          }
          const rates = (counts: readonly number[]) => counts.map((count) => count * perSecond)
          return [
            { ...line, xAxisIndex: 0, yAxisIndex: 0, data: rates(result.timelineRequests) },
            { ...line, xAxisIndex: 1, yAxisIndex: 1, data: rates(timelineMajorFaults) }
          ]
        })
      }
    }
  ]
}

function rounded(value = 0): number {
  return Number(value.toPrecision(4))
}

function times(ratio: number): string {
  return `${ratio.toLocaleString('en', { maximumSignificantDigits: 2 })} times`
}

function ms(value: number): string {
  return `${value.toLocaleString('en', { maximumSignificantDigits: 3 })} ms`
}

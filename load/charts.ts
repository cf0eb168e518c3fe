/** What is drawn, as options of ECharts that are plain data, and a sentence for each that its figures make. */
import { timelineMilliseconds } from './job.ts'
import { type Report, sectionsOf } from './report.ts'
import { type Row, rowsOf } from './statistics.ts'
import type { Trial } from './trial.ts'

export interface Chart {
  readonly name: string
  readonly title: string
  /** what it shows on this data, whoever wins */
  readonly sentence: string
  readonly option: Record<string, unknown>
}

// one for each mode, wherever it appears; told apart on light and on dark, and by the colour-blind (Okabe, Ito)
const colours = [
  '#0072b2',
  '#d55e00',
  '#009e73',
  '#cc79a7',
  '#e69f00',
  '#56b4e9',
  '#999999',
  '#b8a800'
]

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
  const sections = sectionsOf(report)
  const measured = sizesInOrder.flatMap((name) => sections.find((each) => each.name === name) ?? [])
  if (measured.length === 0) return undefined
  return {
    name: 'throughput',
    title: 'Requests per second by size of the range, all in memory',
    sentence: measured
      .map(({ name, verdicts }) => `${name}: ${verdicts[0]?.sentence ?? 'only one was measured'}.`)
      .join(' '),
    option: barsWithSpread(
      report,
      measured.map(({ name, rows }) => ({
        title: `${name}, requests/s`,
        bars: rows.map(({ mode, requestsPerSecond, requestsPerSecondRange }) => ({
          mode,
          middle: requestsPerSecond,
          range: requestsPerSecondRange
        }))
      }))
    )
  }
}

/** Bars on a linear axis that begins at 0, of one unit. */
export interface BarGroup {
  readonly title: string
  readonly bars: readonly {
    readonly mode: string
    /** the median of the rounds */
    readonly middle: number
    /** lowest and highest of the rounds */
    readonly range: readonly [number, number]
  }[]
}

/** Up to four groups, each in a grid of its own; a whisker on each bar shows the spread of the rounds. */
export function barsWithSpread(
  report: Report,
  groups: readonly BarGroup[]
): Record<string, unknown> {
  const columnCount = groups.length > 1 ? 2 : 1
  const rowCount = Math.ceil(groups.length / columnCount)
  const place = (index: number) => ({
    left: index % columnCount === 0 ? 124 : '63%',
    width: columnCount === 1 ? '78%' : '32%',
    top: `${Math.floor(index / columnCount) * (100 / rowCount) + 9}%`,
    height: `${100 / rowCount - 19}%`
  })
  return {
    ...common,
    legend: undefined,
    title: groups.map(({ title }, index) => ({
      text: title,
      left: place(index).left,
      top: `${Math.floor(index / columnCount) * (100 / rowCount) + 1}%`,
      textStyle: { fontSize: 13, fontWeight: 'normal' }
    })),
    grid: groups.map((_, index) => place(index)),
    xAxis: groups.map((_, gridIndex) => ({
      type: 'value',
      min: 0,
      gridIndex,
      axisLabel: { hideOverlap: true }
    })),
    yAxis: groups.map(({ bars }, gridIndex) => ({
      type: 'category',
      inverse: true,
      gridIndex,
      data: bars.map(({ mode }) => mode)
    })),
    series: groups.flatMap(({ bars }, index) => [
      {
        type: 'bar',
        xAxisIndex: index,
        yAxisIndex: index,
        data: bars.map(({ mode, middle }) => ({
          value: rounded(middle),
          itemStyle: { color: colourOf(report, mode) }
        }))
      },
      {
        // lowest, and the box, which has no height, then highest
        type: 'boxplot',
        xAxisIndex: index,
        yAxisIndex: index,
        boxWidth: [6, 6],
        itemStyle: { color: 'transparent', borderColor: '#777' },
        data: bars.map(({ middle, range: [low, high] }) =>
          [low, middle, middle, middle, high].map(rounded)
        )
      }
    ])
  }
}

/** Of the run that is larger than memory. */
function timelines(report: Report): Chart[] {
  const chart = timeline(
    report,
    'larger-than-memory',
    'A file four times as large as the memory, over time'
  )
  return chart === undefined ? [] : [chart]
}

/** Requests, major faults and TLB shootdowns of the first round of a scenario, over time. */
export function timeline(report: Report, name: string, title: string): Chart | undefined {
  const own = report.trials.filter(({ scenario, round }) => scenario === name && round === 0)
  if (own.length === 0) return undefined
  const perSecond = 1000 / timelineMilliseconds
  const length = Math.max(
    ...own.map(({ result, timelineMajorFaults }) =>
      Math.max(result.timelineRequests.length, timelineMajorFaults.length)
    )
  )
  const faults = own.map(({ mode, used }) => `${mode} ${used.majorFaults ?? 'unknown'}`)
  const requests = own.map(({ mode, result }) => `${mode} ${result.requests.toLocaleString('en')}`)
  const panels: readonly [string, (trial: Trial) => readonly number[]][] = [
    ['requests/s', ({ result }) => result.timelineRequests],
    ['major faults/s', ({ timelineMajorFaults }) => timelineMajorFaults],
    ['TLB shootdowns/s', ({ timelineTlbShootdowns }) => timelineTlbShootdowns]
  ]
  return {
    name,
    title,
    sentence: `Requests answered: ${requests.join(', ')}. Major page faults: ${faults.join(', ')}.`,
    option: {
      ...common,
      grid: panels.map((_, index) => ({
        left: 64,
        right: 16,
        top: `${14 + index * 28}%`,
        height: '20%'
      })),
      xAxis: panels.map((_, gridIndex) => ({
        type: 'category',
        gridIndex,
        name: gridIndex === panels.length - 1 ? 'seconds' : '',
        nameLocation: 'middle',
        nameGap: 22,
        // the panels have one time; its labels would touch the title of the panel below
        axisLabel: { show: gridIndex === panels.length - 1 },
        data: Array.from({ length }, (_, i) => (i / perSecond).toString())
      })),
      yAxis: panels.map(([name], gridIndex) => ({ type: 'value', name, gridIndex })),
      series: own.flatMap((trial) =>
        panels.map(([, counts], index) => ({
          name: trial.mode,
          type: 'line',
          showSymbol: false,
          color: colourOf(report, trial.mode),
          xAxisIndex: index,
          yAxisIndex: index,
          data: counts(trial).map((count) => count * perSecond)
        }))
      )
    }
  }
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

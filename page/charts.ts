/** The numbers of the last minutes, one chart for each question, all on one time. */
import uPlot from 'uplot'
import { byId, colour, h, onTheme, setText, watchSight } from './dom.ts'
import * as format from './format.ts'
import { keptPoints, type Point, type Series } from './series.ts'

interface Line {
  /** in a point */
  readonly key: string
  readonly label: string
  /** of the style sheet */
  readonly colour: string
  readonly dash?: readonly number[]
}

interface Chart {
  readonly id: string
  readonly title: string
  readonly unit: string
  /** what it shows, for someone who sees it for the first time */
  readonly explains: string
  readonly lines: readonly Line[]
  readonly show: (value: number) => string
  readonly isLogarithmic?: boolean
  /** for bytes: an axis in steps of powers of two reads better in KiB and MiB */
  readonly isBinary?: boolean
}

const binarySteps = Array.from({ length: 45 }, (_, power) => 2 ** power)
const dashed = [6, 4]
const perSecond = (value: number) => `${format.count(value)}/s`
const bytesPerSecond = (value: number) => `${format.bytes(value)}/s`

const charts: readonly Chart[] = [
  {
    id: 'answers',
    title: 'Answers',
    unit: 'per second, by source',
    explains:
      'Where the bytes of each answer came from. Mapped: the kernel copied them from memory to the socket. Read: at least a part was not in memory, or not safe to map, and was read by a thread. Mixed: some windows of it so, some so. No body: such as 304, or an answer to HEAD.',
    lines: [
      { key: 'mapped', label: 'mapped', colour: 'mapped' },
      { key: 'read', label: 'read', colour: 'read' },
      { key: 'mixed', label: 'mixed', colour: 'mixed', dash: dashed },
      { key: 'none', label: 'no body', colour: 'none', dash: [2, 3] }
    ],
    show: perSecond
  },
  {
    id: 'first-byte',
    title: 'Time to first byte',
    unit: 'logarithmic',
    explains:
      'From a request’s headers to the first byte of its answer. p50: half of the answers were faster. p99: one in a hundred was slower. Estimated from the buckets of the histogram in /metrics.',
    lines: [
      { key: 'mappedP50', label: 'mapped p50', colour: 'mapped' },
      { key: 'mappedP99', label: 'mapped p99', colour: 'mapped', dash: dashed },
      { key: 'readP50', label: 'read p50', colour: 'read' },
      { key: 'readP99', label: 'read p99', colour: 'read', dash: dashed }
    ],
    show: format.ms,
    isLogarithmic: true
  },
  {
    id: 'bytes',
    title: 'Bytes sent',
    unit: 'per second, by source',
    explains: 'Bytes of files that were handed to the kernel for clients.',
    lines: [
      { key: 'mappedBytes', label: 'mapped', colour: 'mapped' },
      { key: 'readBytes', label: 'read', colour: 'read' }
    ],
    show: bytesPerSecond,
    isBinary: true
  },
  {
    id: 'windows',
    title: 'Windows',
    unit: 'per second',
    explains:
      'Answers are sent window by window. Before each, the kernel is asked whether its bytes are in memory. Cold: they are not, and a thread reads them. Unknown: the kernel does not tell this process about that file.',
    lines: [
      { key: 'resident', label: 'in memory', colour: 'mapped' },
      { key: 'cold', label: 'cold', colour: 'read' },
      { key: 'unknown', label: 'unknown', colour: 'none', dash: [2, 3] }
    ],
    show: perSecond
  },
  {
    id: 'block-input',
    title: 'From storage',
    unit: 'bytes per second',
    explains:
      'Block input: what the kernel had to fetch from the disk for this service, because it was not in memory.',
    lines: [{ key: 'blockInput', label: 'block input', colour: 'read' }],
    show: bytesPerSecond,
    isBinary: true
  },
  {
    id: 'loop-delay',
    title: 'Event-loop delay',
    unit: 'longest of each second',
    explains:
      'One thread, the event loop, answers all clients. So long it was late: everybody waited. A page that is not in memory, touched there, makes it wait for the disk.',
    lines: [{ key: 'loopDelay', label: 'delay', colour: 'major' }],
    show: format.ms
  },
  {
    id: 'loop-faults',
    title: 'Page faults of the event loop',
    unit: 'per second',
    explains:
      'A page fault is a touch of memory that is not in place yet. Minor: the page was in memory, and only had to be connected. Major: it had to come from the disk, and all clients waited for it.',
    lines: [
      { key: 'loopMinor', label: 'minor', colour: 'none' },
      { key: 'loopMajor', label: 'major', colour: 'major' }
    ],
    show: perSecond
  },
  {
    id: 'process-faults',
    title: 'Page faults of the process',
    unit: 'per second',
    explains:
      'The same for all threads together. Those that read may wait for the disk; nobody else waits with them.',
    lines: [
      { key: 'processMinor', label: 'minor', colour: 'none' },
      { key: 'processMajor', label: 'major', colour: 'major' }
    ],
    show: perSecond
  },
  {
    id: 'refused',
    title: 'Shed and aborted',
    unit: 'answers per second',
    explains:
      'Shed: refused with 503 before any work, because a limit was reached. Aborted: cut before the end, because the client went or the file changed.',
    lines: [
      { key: 'shed', label: 'shed', colour: 'read' },
      { key: 'aborted', label: 'aborted', colour: 'major', dash: dashed }
    ],
    show: perSecond
  }
]

const height = 168

interface Drawn {
  readonly chart: Chart
  readonly box: HTMLElement
  readonly values: readonly HTMLElement[]
  plot: uPlot | undefined
  summary: HTMLElement
}

export class Charts {
  readonly #series: Series
  readonly #drawn: readonly Drawn[]
  readonly #isSeen: () => boolean
  #isPaused = false
  /** what is shown while it is paused */
  #held: { times: number[]; points: Point[] } | undefined
  #isStale = true
  /** time of the point that the keyboard has chosen, in seconds */
  #at: number | undefined

  constructor(series: Series) {
    this.#series = series
    const grid = byId('charts')
    this.#drawn = charts.map((chart) => this.#frame(chart, grid))
    this.#isSeen = watchSight(grid, () => this.draw())
    grid.addEventListener('keydown', (event) => this.#key(event))
    grid.addEventListener('blur', () => this.#pointAt(undefined))
    const button = byId<HTMLButtonElement>('pause')
    button.addEventListener('click', () => {
      this.#isPaused = !this.#isPaused
      this.#held = this.#isPaused
        ? { times: [...series.times], points: [...series.points] }
        : undefined
      button.setAttribute('aria-pressed', String(this.#isPaused))
      setText(button, this.#isPaused ? 'Go on' : 'Pause')
      this.draw()
    })
    onTheme(() => {
      for (const drawn of this.#drawn) {
        drawn.plot?.destroy()
        drawn.plot = undefined
      }
      this.#isStale = true
      this.draw()
    })
    new ResizeObserver(() => {
      for (const { plot, box } of this.#drawn) plot?.setSize({ width: box.clientWidth, height })
    }).observe(grid)
  }

  /** There are new points. */
  update(): void {
    if (this.#isPaused) return
    this.#isStale = true
    this.draw()
  }

  draw(): void {
    if (!this.#isStale || !this.#isSeen()) return
    this.#isStale = false
    const { times, points } = this.#held ?? this.#series
    const end = times.at(-1) ?? Date.now() / 1000
    const shown = spanOf(end - (times[0] ?? end))
    for (const drawn of this.#drawn) {
      const data = [
        times,
        ...drawn.chart.lines.map(({ key }) => points.map((point) => point[key] ?? null))
      ] as uPlot.AlignedData
      drawn.plot ??= plotOf(drawn, data)
      drawn.plot.setData(data, false)
      drawn.plot.batch(() => {
        drawn.plot?.setScale('x', { min: end - shown, max: end })
        const max = topOf(data)
        if (drawn.chart.isLogarithmic !== true) drawn.plot?.setScale('y', { min: 0, max })
        else {
          const low = bottomOf(data)
          drawn.plot?.setScale('y', { min: low, max: Math.max(max, low * 100) })
        }
      })
      if (drawn.plot.cursor.idx == null) showValues(drawn, data, undefined)
      summarise(drawn, data)
    }
    // it has moved
    if (this.#at !== undefined) this.#pointAt(this.#at)
  }

  /** The arrow keys read what the pointer reads. */
  #key(event: KeyboardEvent): void {
    if (event.target !== event.currentTarget) return
    const { times } = this.#held ?? this.#series
    const last = times.length - 1
    const at = this.#at === undefined ? undefined : times.indexOf(this.#at)
    const places: Readonly<Record<string, number>> = {
      ArrowLeft: Math.max(0, (at ?? times.length) - 1),
      ArrowRight: Math.min(last, (at ?? last) + 1),
      Home: 0,
      End: last
    }
    const place = places[event.key]
    if (place === undefined || last < 0) return
    event.preventDefault()
    this.#pointAt(times[place])
  }

  /** @param time of a point, in seconds; undefined: at none, which shows the last */
  #pointAt(time: number | undefined): void {
    this.#at = time
    for (const { plot } of this.#drawn) {
      const left = time === undefined ? -10 : plot?.valToPos(time, 'x')
      if (left !== undefined) plot?.setCursor({ left, top: 0 }, true)
    }
  }

  #frame(chart: Chart, grid: HTMLElement): Drawn {
    const box = h('div', { class: 'plot', role: 'img', 'aria-labelledby': `${chart.id}-summary` })
    const values = chart.lines.map(({ key }) =>
      h('span', { class: 'value', 'data-line': key }, '–')
    )
    const legend = h(
      'ul',
      { class: 'legend', 'aria-hidden': true },
      ...chart.lines.map((line, i) =>
        h(
          'li',
          {},
          h('span', {
            class: `swatch ${line.colour} ${line.dash === undefined ? '' : 'dashed'}`
          }),
          h('span', {}, line.label),
          values[i]
        )
      )
    )
    const summary = h('p', { id: `${chart.id}-summary`, class: 'unseen' })
    grid.append(
      h(
        'article',
        { class: 'chart', 'data-chart': chart.id },
        h(
          'header',
          {},
          h('h3', {}, chart.title, ' ', h('small', {}, chart.unit)),
          explanation(chart.explains, `What is ${chart.title}?`)
        ),
        legend,
        box,
        summary
      )
    )
    return { chart, box, values, plot: undefined, summary }
  }
}

/** A term explained where it stands: a mark that opens a few words. */
export function explanation(text: string, label: string): HTMLElement {
  return h(
    'details',
    { class: 'why' },
    h('summary', { 'aria-label': label }, h('span', { 'aria-hidden': true }, '?')),
    h('p', {}, text)
  )
}

/** Seconds that are shown: more when there is more, in steps, so that nothing is squeezed all the time. */
function spanOf(seconds: number): number {
  return [60, 120].find((span) => seconds <= span) ?? keptPoints
}

const emptyTop = 1

function topOf(data: uPlot.AlignedData): number {
  let top = 0
  for (const values of data.slice(1)) for (const value of values) top = Math.max(top, value ?? 0)
  return top === 0 ? emptyTop : top * 1.08
}

/** A power of ten below all values; 10 µs when there are none. */
function bottomOf(data: uPlot.AlignedData): number {
  let low = Number.POSITIVE_INFINITY
  for (const values of data.slice(1)) {
    for (const value of values) if (value != null && value > 0) low = Math.min(low, value)
  }
  return low === Number.POSITIVE_INFINITY ? 0.01 : 10 ** Math.floor(Math.log10(low))
}

/** @param index of the point under the pointer; undefined: the last */
function showValues(drawn: Drawn, data: uPlot.AlignedData, index: number | undefined): void {
  const { chart, values } = drawn
  for (const [i, element] of values.entries()) {
    const line = data[i + 1]
    const value = line?.[index ?? line.length - 1]
    setText(element, value == null ? '–' : chart.show(value))
  }
}

function summarise({ chart, summary }: Drawn, data: uPlot.AlignedData): void {
  const parts = chart.lines.map(({ label }, i) => {
    const value = data[i + 1]?.at(-1)
    return `${label} ${value == null ? 'nothing' : chart.show(value)}`
  })
  setText(summary, `${chart.title}, ${chart.unit}. Now: ${parts.join(', ')}.`)
}

function plotOf(drawn: Drawn, data: uPlot.AlignedData): uPlot {
  const { chart, box } = drawn
  const axis = {
    stroke: colour('muted'),
    grid: { stroke: colour('grid'), width: 1 },
    ticks: { show: false },
    font: '12px system-ui, sans-serif'
  }
  return new uPlot(
    {
      width: box.clientWidth,
      height,
      // the last time of the axis is written out, and none touches the lowest value
      padding: [8, 28, 0, 0],
      legend: { show: false },
      cursor: {
        sync: { key: 'time' },
        drag: { setScale: false, x: false, y: false },
        points: { size: 7 },
        y: false
      },
      scales: {
        x: { time: true, auto: false },
        y: { auto: false, ...(chart.isLogarithmic === true && { distr: 3, log: 10 }) }
      },
      axes: [
        { ...axis, space: 60, size: 30, gap: 9, values: (_plot, times) => times.map(clockOf) },
        {
          ...axis,
          size: 68,
          space: 36,
          ...(chart.isBinary === true && { incrs: binarySteps }),
          values: (_plot, values) => values.map((value) => (value == null ? '' : chart.show(value)))
        }
      ],
      series: [
        {},
        ...chart.lines.map(({ label, colour: name, dash }) => ({
          label,
          stroke: colour(name),
          width: 1.75,
          points: { show: false },
          spanGaps: false,
          ...(dash && { dash: [...dash] })
        }))
      ],
      hooks: {
        setCursor: [
          (plot) => {
            const { idx } = plot.cursor
            showValues(drawn, plot.data, idx ?? undefined)
          }
        ]
      }
    },
    data,
    box
  )
}

function clockOf(seconds: number): string {
  return format.clock(seconds * 1000)
}

/** What a run shows while it measures: on a terminal a view that is drawn again, elsewhere plain lines. */

import { terminalColumns } from '#src/advise/text.ts'
import { histogramBounds, type Progress } from './job.ts'

/** The trial that runs, and how far the run is. */
export interface View {
  readonly done: number
  readonly total: number
  readonly elapsedMs: number
  readonly what: string
  /** of the running trial, a period each */
  readonly rates: readonly number[]
  readonly histogram: readonly number[]
  /** of trials that ended, the latest last */
  readonly ended: readonly string[]
}

export interface Live {
  /** @param what is measured from now on */
  begin(done: number, total: number, what: string): void
  tell(progress: Progress): void
  /** @param result of the trial that began last, in a few words */
  end(result: string): void
  /** a line that stays */
  say(text: string): void
  close(): void
}

const shownEnded = 6

/** @param stream whose terminal it is, if it is one */
export function startLive(stream: NodeJS.WriteStream): Live {
  const say = (text: string) => stream.write(`${text}\n`)
  const clock = () => new Date().toISOString().slice(11, 19)
  if (!stream.isTTY) {
    return {
      begin: (done, total, what) => say(`${clock()}  ${done}/${total}  ${what}`),
      tell: () => {},
      end: () => {},
      say,
      close: () => {}
    }
  }
  const startedAtMs = performance.now()
  let view: View | undefined
  let drawn = 0
  const erase = () => {
    // up to where the view began, and everything from there on
    if (drawn > 0) stream.write(`\x1b[${drawn}A\x1b[0J`)
    drawn = 0
  }
  const draw = (change: Partial<View>) => {
    if (view === undefined) return
    view = { ...view, ...change, elapsedMs: performance.now() - startedAtMs }
    const lines = frame(view, stream.columns)
    erase()
    stream.write(`${lines.join('\n')}\n`)
    drawn = lines.length
  }
  return {
    begin(done, total, what) {
      const ended = view?.ended ?? []
      view = { done, total, what, ended, elapsedMs: 0, rates: [], histogram: [] }
      draw({})
    },
    tell({ requestsPerSecond, histogram }) {
      draw({ rates: [...(view?.rates ?? []), requestsPerSecond], histogram })
    },
    end(result) {
      draw({ ended: [...(view?.ended ?? []), `${view?.what}: ${result}`].slice(-shownEnded) })
    },
    say(text) {
      erase()
      say(text)
      draw({})
    },
    close() {
      erase()
      view = undefined
    }
  }
}

/**
 * @param columns of the terminal
 * @returns lines that fit it
 */
export function frame(view: View, columns: number): string[] {
  const width = Math.max(20, Math.min(columns - 1, terminalColumns))
  // the first trial has not ended yet
  const finished = view.done - 1
  const left = finished < 1 ? undefined : (view.elapsedMs / finished) * (view.total - finished)
  const share = finished / view.total
  const bar = '━'.repeat(Math.round(share * 30)).padEnd(30, '·')
  const rate = view.rates.at(-1) ?? 0
  const lines = [
    ...view.ended.map((text) => `  ${text}`),
    `${bar} ${view.done}/${view.total}  ${left === undefined ? '' : `${minutes(left)} left`}`,
    `${view.what}: ${rate.toLocaleString('en', { maximumFractionDigits: 0 })} requests/s  ${spark(view.rates.slice(-30))}`,
    ...bars(view.histogram, 40)
  ]
  return lines.map((line) => line.slice(0, width))
}

function minutes(ms: number): string {
  const seconds = Math.round(ms / 1000)
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}

/** One character for each value, from nothing to the highest. */
function spark(values: readonly number[]): string {
  const highest = Math.max(1, ...values)
  const steps = '▁▂▃▄▅▆▇█'
  return values.map((value) => steps[Math.round((value / highest) * (steps.length - 1))]).join('')
}

/** A line for each bucket from the first to the last that has something. */
function bars(histogram: readonly number[], width: number): string[] {
  const total = histogram.reduce((sum, count) => sum + count, 0)
  if (total === 0) return []
  const first = histogram.findIndex((count) => count > 0)
  const last = histogram.findLastIndex((count) => count > 0)
  const highest = Math.max(...histogram)
  return histogram.slice(first, last + 1).map((count, i) => {
    const bound = histogramBounds[first + i]
    const label = bound === undefined ? 'more' : `≤ ${ms(bound)}`
    const bar = '█'.repeat(Math.ceil((count / highest) * width)).padEnd(width)
    return `  ${label.padStart(11)} ${bar} ${((100 * count) / total).toFixed(1).padStart(5)} %`
  })
}

function ms(microseconds: number): string {
  return microseconds < 1000 ? `${microseconds} µs` : `${(microseconds / 1000).toFixed(1)} ms`
}

/** What is reported, the columns of its tables, and these on the terminal. */
import type { Machine } from './machine.ts'
import { type Row, rowsOf } from './statistics.ts'
import type { Trial } from './trial.ts'

export interface Report {
  readonly machine: Machine & { readonly pinning: string }
  readonly settings: {
    readonly scenarios: readonly { readonly name: string; readonly says: string }[]
    readonly modes: readonly { readonly name: string; readonly says: string }[]
    readonly rounds: number
    readonly secondsOfTrial: number
    readonly seed: number
    readonly mainFileBytes: number | undefined
    readonly largeFileBytes: number | undefined
  }
  readonly skipped: readonly { readonly what: string; readonly why: string }[]
  readonly trials: readonly Trial[]
}

type Column = readonly [title: string, cell: (row: Row) => string]

const number = (value: number | undefined, digits = 0): string =>
  value === undefined || Number.isNaN(value)
    ? '-'
    : value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits })

/** Those of the main table. A dash: this server does not tell. */
export const columns: readonly Column[] = [
  ['mode', ({ mode }) => mode],
  ['req/s', ({ requestsPerSecond }) => number(requestsPerSecond)],
  ['spread', ({ spread }) => `±${number(spread * 50)} %`],
  [': first', ({ ratioToFirst }) => number(ratioToFirst, 2)],
  ['MB/s', ({ megabytesPerSecond }) => number(megabytesPerSecond)],
  ['p50 ms', ({ latencyMs }) => number(latencyMs.p50, 2)],
  ['p99 ms', ({ latencyMs }) => number(latencyMs.p99, 2)],
  ['p99.9 ms', ({ latencyMs }) => number(latencyMs.p999, 2)],
  ['max ms', ({ latencyMs }) => number(latencyMs.max, 1)],
  ['CPU µs', ({ cpuMicroseconds }) => number(cpuMicroseconds)],
  ['major faults', ({ majorFaults }) => number(majorFaults)],
  ['of the event loop', ({ eventLoopMajorFaults }) => number(eventLoopMajorFaults)],
  ['input MB', ({ blockInputMegabytes }) => number(blockInputMegabytes)],
  [
    'mapped',
    ({ mappedShare }) => (mappedShare === undefined ? '-' : `${number(mappedShare * 100)} %`)
  ],
  ['errors', ({ failures }) => number(failures)]
]

/** The tables for a terminal. */
export function tellReport({ trials, settings, skipped }: Report): string {
  const lines: string[] = []
  for (const { name, says } of settings.scenarios) {
    const rows = rowsOf(trials, name)
    if (rows.length === 0) continue
    const cells = [columns.map(([title]) => title), ...rows.map(cellsOf)]
    const widths = columns.map((_, i) => Math.max(...cells.map((line) => line[i]?.length ?? 0)))
    lines.push(`${name}: ${says}`)
    for (const line of cells) {
      const padded = line.map((cell, i) =>
        i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)
      )
      lines.push(`  ${padded.join('  ')}`)
    }
    lines.push('')
  }
  for (const { what, why } of skipped) lines.push(`left out: ${what}: ${why}`)
  const unproved = trials.filter(({ isStateProved }) => !isStateProved)
  if (unproved.length > 0) {
    lines.push(
      `${unproved.length} of ${trials.length} trials without proof of what was in memory before`
    )
  }
  return lines.join('\n')
}

export function cellsOf(row: Row): string[] {
  return columns.map(([, cell]) => cell(row))
}

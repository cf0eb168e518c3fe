/** What is reported, the columns of its tables, and these on the terminal. */
import { median } from '#src/advise/averages.ts'
import { busyGenerator } from '#src/advise/judge.ts'
import { number, table, wrapped } from '#src/advise/text.ts'
import { ratioText } from '#src/advise/verdict.ts'
import type { Machine } from './machine.ts'
import { scenarios } from './scenarios.ts'
import { explanations, type Row, rateOf, rowsOf, type Verdict, verdictsOf } from './statistics.ts'
import type { Trial } from './trial.ts'
import type { GeneratorCheck } from './wrk.ts'

export interface Report {
  readonly machine: Machine & { readonly pinning: string }
  readonly settings: {
    readonly scenarios: readonly {
      readonly name: string
      readonly says: string
      /** requests come at a fixed rate */
      readonly isPaced: boolean
    }[]
    readonly modes: readonly { readonly name: string; readonly says: string }[]
    readonly rounds: number
    readonly secondsOfTrial: number
    readonly seed: number
    readonly mainFileBytes: number | undefined
    readonly largeFileBytes: number | undefined
  }
  readonly skipped: readonly { readonly what: string; readonly why: string }[]
  readonly trials: readonly Trial[]
  /** of the load generator against wrk, where that was asked for */
  readonly generatorChecks: readonly GeneratorCheck[]
}

/** A scenario that was measured, and what its trials say. */
export interface Section {
  readonly name: string
  readonly says: string
  readonly rows: readonly Row[]
  readonly verdicts: readonly Verdict[]
  /** what explains the differences, and what casts doubt on the figures */
  readonly notes: readonly string[]
}

/** In the order of the report; without scenarios that were not measured. */
export function sectionsOf({ settings, trials }: Report): Section[] {
  return settings.scenarios.flatMap(({ name, says, isPaced }) => {
    const rows = rowsOf(trials, name)
    if (rows.length === 0) return []
    const verdicts = verdictsOf(trials, name, isPaced)
    const notes = [
      ...explanations(rows),
      ...warnings(rows),
      ...missedRates(trials, name),
      ...deaths(trials, name)
    ]
    return [{ name, says, rows, verdicts, notes }]
  })
}

function warnings(rows: readonly Row[]): string[] {
  const busy = rows.filter(({ generatorCpuShare }) => generatorCpuShare >= busyGenerator)
  if (busy.length === 0) return []
  const names = busy.map(({ mode }) => mode).join(', ')
  return [
    `the load generator was busy all the time with ${names}: their requests per second are its own`
  ]
}

/** Where a fixed rate was not reached, an overload was measured. */
export function missedRates(trials: readonly Trial[], scenario: string): string[] {
  const rate = scenarios.find(({ name }) => name === scenario)?.load.rate
  const own = trials.filter((trial) => trial.scenario === scenario)
  const late = own.filter((trial) => rateOf(trial) < 0.9 * (rate ?? 0))
  if (late.length === 0) return []
  const modes = [...new Set(late.map(({ mode }) => mode))].join(', ')
  return [
    `in ${late.length} of ${own.length} trials (${modes}) less than 90 % of ${number(rate ?? 0)} requests a second came through: their latencies are those of an overload`
  ]
}

/** Servers that died, by which signal. */
export function deaths(trials: readonly Trial[], scenario: string): string[] {
  const own = trials.filter((trial) => trial.scenario === scenario)
  return [...new Set(own.map(({ mode }) => mode))].flatMap((mode) => {
    const rounds = own.filter((trial) => trial.mode === mode)
    const died = rounds.filter(({ signal }) => signal !== undefined)
    return died.length === 0
      ? []
      : [`${mode} died by ${died[0]?.signal} in ${died.length} of ${rounds.length} rounds`]
  })
}

type Column = readonly [title: string, cell: (row: Row) => string]

const short = (value: number): string =>
  value.toLocaleString('en', { maximumSignificantDigits: 3, useGrouping: false })

/** Those of the main table; all else that was measured is in results.json. A dash: this server does not tell. */
export const columns: readonly Column[] = [
  ['mode', ({ mode }) => mode],
  ['req/s', ({ requestsPerSecond }) => number(requestsPerSecond)],
  [': first', ({ toFirst }) => (Number.isNaN(toFirst.ratio) ? '-' : short(toFirst.ratio))],
  [
    'interval',
    ({ toFirst: { interval } }) =>
      interval === undefined || interval[0] === interval[1]
        ? '-'
        : interval.map(ratioText).join('–')
  ],
  ['p50 ms', ({ latencyMs }) => number(latencyMs.p50, 2)],
  ['p99 ms', ({ latencyMs }) => number(latencyMs.p99, 2)],
  ['CPU µs', ({ cpuMicroseconds }) => number(cpuMicroseconds)],
  ['load', ({ generatorCpuShare }) => `${number(generatorCpuShare * 100)} %`],
  ['faults', ({ majorFaults }) => number(majorFaults)],
  ['errors', ({ failures }) => number(failures)]
]

/** The verdicts and tables for a terminal. */
export function tellReport(report: Report): string {
  const { trials, skipped, generatorChecks } = report
  const lines: string[] = []
  for (const section of sectionsOf(report)) {
    const { name, says, rows, verdicts, notes } = section
    lines.push(`${name}: ${says}`)
    lines.push(...table([columns.map(([title]) => title), ...rows.map(cellsOf)]))
    for (const note of notes) lines.push(...wrapped(note, '  '))
    for (const { sentence } of verdicts) lines.push(...wrapped(`${sentence}.`, '  → '))
    lines.push('')
  }
  if (generatorChecks.length > 0) lines.push(...table(checkCells(generatorChecks)), '')
  for (const { what, why } of skipped) lines.push(...wrapped(`left out: ${what}: ${why}`))
  const unproved = trials.filter(({ isStateProved }) => !isStateProved)
  if (unproved.length > 0) {
    lines.push(
      `${unproved.length} of ${trials.length} trials without proof of what was in memory, before and after`
    )
  }
  return lines.join('\n')
}

export function cellsOf(row: Row): string[] {
  return columns.map(([, cell]) => cell(row))
}

/** A table of the load generator against wrk, with its titles. */
export function checkCells(checks: readonly GeneratorCheck[]): string[][] {
  const titles = ['load generator', 'req/s', 'wrk', ': wrk', 'p50 ms', 'wrk', 'load', 'wrk']
  const keyOf = ({ scenario, mode }: GeneratorCheck) => `${scenario}, ${mode}`
  const keys = [...new Set(checks.map(keyOf))]
  const rows = keys.map((key) => {
    const own = checks.filter((check) => keyOf(check) === key)
    const of = (pick: (check: GeneratorCheck) => number) => median(own.map(pick))
    return [
      key,
      number(of((check) => check.requestsPerSecond)),
      number(of((check) => check.wrkRequestsPerSecond)),
      short(of((check) => check.requestsPerSecond / check.wrkRequestsPerSecond)),
      number(
        of((check) => check.p50Ms),
        2
      ),
      number(
        of((check) => check.wrkP50Ms),
        2
      ),
      `${number(of((check) => check.generatorCpuShare) * 100)} %`,
      `${number(of((check) => check.wrkCpuShare) * 100)} %`
    ]
  })
  return [titles, ...rows]
}

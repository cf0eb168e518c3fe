/** Two runs of the harness, one of which was made before a change and the other after it. */
import fs from 'node:fs'
import { median } from '#src/advise/averages.ts'
import { type Comparison, compareRuns } from '#src/advise/statistics.ts'
import { table, wrapped } from '#src/advise/text.ts'
import { ratioText } from '#src/advise/verdict.ts'
import type { Report } from './report.ts'
import { cpuOf, p99Of, rateOf } from './statistics.ts'
import type { Trial } from './trial.ts'

/** What of two runs can be told apart, or not, in words. */
const words: Readonly<Record<Comparison['kind'], string>> = {
  more: 'more',
  less: 'less',
  same: 'same',
  undecided: 'undecided',
  unknown: 'one round'
}

const measures: readonly (readonly [string, (trial: Trial) => number | undefined])[] = [
  ['requests/s', rateOf],
  ['p99 ms', p99Of],
  ['CPU µs', cpuOf]
]

type Run = Pick<Report, 'machine' | 'settings' | 'trials'>

/** @throws Error in words for the user, when it is no results.json */
export function readRun(file: string): Run {
  let parsed: unknown
  try {
    parsed = JSON.parse(fs.readFileSync(file, 'utf8'))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new Error(`--compare ${file}: ${code ?? 'it is not JSON'}; it may be a results.json`)
  }
  const { machine, settings, trials } = (parsed ?? {}) as Partial<Run>
  const isRun = machine !== undefined && settings !== undefined && Array.isArray(trials)
  if (!isRun || !trials.every(isTrial)) {
    throw new Error(`--compare ${file}: it may be a results.json that the harness has written`)
  }
  return { machine, settings, trials }
}

function isTrial(trial: unknown): trial is Trial {
  const { scenario, mode, result, used } = (trial ?? {}) as Partial<Trial>
  return (
    [typeof scenario, typeof mode].every((type) => type === 'string') &&
    typeof result?.requests === 'number' &&
    typeof result.latencyMicroseconds?.p99 === 'number' &&
    used !== undefined
  )
}

/**
 * After against before, for each scenario and mode that both have. They did not take turns, so this is no paired
 * test: a machine that was slower on the second day looks like a slower program.
 * @returns lines of at most 100 columns
 */
export function compareLines(before: Run, after: Run): string[] {
  const cells = [['', 'before', 'after', 'ratio', 'interval', '']]
  for (const key of keysOf(before.trials)) {
    const [a, b] = [after, before].map(({ trials }) =>
      trials.filter((trial) => keyOf(trial) === key)
    )
    if (a === undefined || b === undefined || a.length === 0) continue
    for (const [name, pick] of measures) {
      const [now, then] = [a, b].map((trials) =>
        trials.map(pick).filter((value) => value !== undefined && !Number.isNaN(value))
      ) as [number[], number[]]
      if (now.length === 0 || then.length === 0) continue
      cells.push([`${key}, ${name}`, ...comparedCells(then, now)])
    }
  }
  const others = [
    ...missing('before', before, after),
    ...missing('after', after, before),
    ...differences(before, after)
  ]
  if (cells.length === 1) return ['the two runs have no scenario and mode in common', ...others]
  return [
    ...table(cells),
    '',
    ...wrapped(
      "Medians; ratios of after to before with their interval of 95 %, by Welch's t-test on the logarithms. same: less than 5 % apart. undecided: the noise is too large."
    ),
    ...others
  ]
}

function comparedCells(before: readonly number[], after: readonly number[]): string[] {
  const comparison = compareRuns(after, before)
  const { kind, ratio, interval } = comparison
  const figure = (values: readonly number[]) =>
    median([...values]).toLocaleString('en', { maximumSignificantDigits: 4 })
  const bounds = interval === undefined ? '-' : interval.map(ratioText).join('–')
  return [figure(before), figure(after), ratioText(ratio), bounds, words[kind]]
}

function keyOf({ scenario, mode }: Trial): string {
  return `${scenario}, ${mode}`
}

function keysOf(trials: readonly Trial[]): string[] {
  return [...new Set(trials.map(keyOf))]
}

function missing(name: string, run: Run, other: Run): string[] {
  const there = new Set(keysOf(other.trials))
  const alone = keysOf(run.trials).filter((key) => !there.has(key))
  return alone.length === 0 ? [] : wrapped(`only ${name}: ${alone.join('; ')}`)
}

/** What makes two runs hard to compare. */
function differences(before: Run, after: Run): string[] {
  const facts = ({ machine, settings }: Run): [string, string | number | undefined][] => [
    ['CPU', machine.cpu],
    ['CPUs', machine.cpus],
    ['kernel', machine.kernel],
    ['Node', machine.node],
    ['file system', machine.fileSystem],
    ['placement', machine.pinning],
    ['seconds of a trial', settings.secondsOfTrial],
    ['bytes of the file', settings.mainFileBytes]
  ]
  const now = new Map(facts(after))
  return facts(before)
    .filter(([name, value]) => now.get(name) !== value)
    .flatMap(([name, value]) => wrapped(`not the same ${name}: ${value}, then ${now.get(name)}`))
}

/** docs/mmap-on-trial.md, from the results of the claims. */
import { median } from '#src/advise/averages.ts'
import {
  type Comparison,
  comparePairs,
  confidence,
  smallestEffect
} from '#src/advise/statistics.ts'
import { number } from '#src/advise/text.ts'
import { conclusion, ratioWithInterval } from '#src/advise/verdict.ts'
import { type Claim, type Measure, measures, type Question } from './claims.ts'
import { timelineMilliseconds } from './job.ts'
import { facts } from './page.ts'
import { deaths, missedRates, type Report } from './report.ts'
import type { Trial } from './trial.ts'

/** A claim, and what was measured of it. */
export interface Tried {
  readonly claim: Claim
  /** undefined: it was not run yet */
  readonly report: Report | undefined
}

type Outcome =
  | 'holds here'
  | 'does not hold here'
  | 'undecided here'
  | 'cannot be shown here'
  | 'not measured here'

/** @param tried in the order of the page */
export function trialPage(tried: readonly Tried[]): string {
  const reports = tried.flatMap(({ report }) => report ?? [])
  if (reports.length === 0) throw new Error('nothing was measured')
  return `${[
    '# mmap on trial',
    'Written by `npm run load -- --trial docs` from runs; not edited. `--claim NAME` measures one claim again.',
    `What is said about memory-mapped files, tried on this service over HTTP. Bars are medians of rounds in which the modes took turns, with the lowest and the highest round. Ratios have an interval of ${confidence * 100} %, by a paired t-test on their logarithm; a difference below ${smallestEffect * 100} % does not count. One machine, few and short rounds: where the noise is too large, the verdict says so. \`textbook\` is node:http and one mapping of the whole file (load/textbook.ts); \`mmap-unguarded\` is this service with \`--guard off\`.`,
    tableOfContents(tried),
    ...tried.map(section),
    '## Where and how',
    where(reports)
  ].join('\n\n')}\n`
}

const shownFacts = [
  'date',
  'machine',
  'kernel, file system',
  'readahead of its device',
  'Node',
  'version',
  'CPUs',
  'files'
]

/** Claims may have been run at different times, and of different commits. */
function where(reports: readonly Report[]): string {
  const all = reports.map((report) => new Map(facts(report)))
  const lines = shownFacts.map((name) => {
    const values = [...new Set(all.flatMap((each) => each.get(name) ?? []))].sort()
    const isTime = name === 'date' && values.length > 1
    return `- ${name}: ${isTime ? `${values[0]} to ${values.at(-1)}` : values.join('; or ')}`
  })
  return lines.join('\n')
}

function tableOfContents(tried: readonly Tried[]): string {
  const lines = tried.map(({ claim, report }) => {
    const anchor = claim.title
      .toLowerCase()
      .replaceAll(/[^a-z0-9 -]/g, '')
      .replaceAll(' ', '-')
    return `| [${claim.title}](#${anchor}) | ${outcomes(claim, report)} |`
  })
  return ['| claim | verdict |', '| --- | --- |', ...lines].join('\n')
}

/** Of all questions of a claim that decide about it. */
function outcomes(claim: Claim, report: Report | undefined): string {
  if (report === undefined) return 'not measured here'
  const decided = verdictsOn(claim, report.trials).flatMap(({ outcome }) => outcome ?? [])
  const kinds = [...new Set(decided)]
  if (kinds.length === 1) return kinds[0] as string
  return kinds
    .map((kind) => `${kind} in ${decided.filter((each) => each === kind).length}`)
    .join(', ')
    .concat(` of ${decided.length} comparisons`)
}

function section({ claim, report }: Tried): string {
  const head = [`## ${claim.title}`, `**The claim.** ${claim.claim}`]
  const command = `**The experiment.** \`npm run load -- --claim ${claim.name}\``
  const remedy = `**What this service does.** ${claim.remedy}`
  if (report === undefined) return [...head, command, 'Not measured here.', remedy].join('\n\n')
  const { settings, trials, skipped } = report
  const says = settings.scenarios.map(({ name, says: text }) => `${name} (${text})`).join('; ')
  const charts = settings.scenarios.flatMap(({ name }) => [
    ...claim.shown.flatMap((key) => bars(trials, name, measures[key])),
    ...(claim.hasTimeline === undefined ? [] : timeline(trials, name))
  ])
  const verdicts = verdictsOn(claim, trials).map(
    ({ outcome, sentence }) => `- ${outcome === undefined ? '' : `**${outcome}**: `}${sentence}.`
  )
  const left = skipped.map(({ what, why }) => `- Left out: ${what}: ${why}.`)
  return [
    ...head,
    `${command}: ${says}; ${roundsOf(trials)} of ${settings.secondsOfTrial} s.`,
    `\`\`\`text\n${charts.join('\n').trimEnd()}\n\`\`\``,
    `**The verdict.**\n\n${[...verdicts, ...doubts(claim, trials), ...left].join('\n')}`,
    remedy
  ].join('\n\n')
}

function doubts({ shown, hasTimeline, scenarios }: Claim, trials: readonly Trial[]): string[] {
  const unproved = trials.filter(({ isStateProved }) => !isStateProved).length
  const proof = `- What was in memory was proved, before and after, in ${trials.length - unproved} of ${trials.length} trials.`
  const isAboutShootdowns = hasTimeline || shown.includes('shootdowns')
  const hasNone = trials.every(({ used }) => (used.tlbShootdowns ?? 0) === 0)
  return [
    proof,
    ...scenarios.flatMap((scenario) =>
      missedRates(trials, scenario).map((text) => `- ${scenario}: ${text}.`)
    ),
    ...(isAboutShootdowns && hasNone ? [noShootdowns] : [])
  ]
}

const noShootdowns =
  '- The kernel of this machine counted no TLB shootdown at all (/proc/interrupts): a hypervisor or the CPU flushes without an interrupt. What they cost cannot be shown here; the experiment shows it where they are interrupts.'

/** Fewer than were asked for, where the run was stopped. */
function roundsOf(trials: readonly Trial[]): string {
  const { size } = new Set(trials.map(({ round }) => round))
  return size === 1 ? 'one round' : `${size} rounds`
}

const barWidth = 36

/** Bars of one measure, from 0, with the lowest and the highest round. */
function bars(trials: readonly Trial[], scenario: string, { title, pick }: Measure): string[] {
  const own = trials.filter((trial) => trial.scenario === scenario)
  const rows = [...new Set(own.map(({ mode }) => mode))].flatMap((mode) => {
    const values = valuesOf(own, mode, pick).map(([, value]) => value)
    if (values.length === 0) return []
    return [{ mode, middle: median(values), low: Math.min(...values), high: Math.max(...values) }]
  })
  if (rows.length === 0) return []
  const most = Math.max(...rows.map(({ middle }) => middle))
  const lines = rows.map(({ mode, middle, low, high }) => {
    const length = most === 0 ? 0 : Math.round((barWidth * middle) / most)
    const spread = low === high ? '' : `  (${short(low)} to ${short(high)})`
    return `  ${mode.padEnd(20)}${'█'.repeat(length).padEnd(barWidth, '·')} ${short(middle)}${spread}`
  })
  return [`${scenario}: ${title}`, ...lines, '']
}

const heights = '▁▂▃▄▅▆▇█'

/** Of the first round, a character each quarter of a second. */
function timeline(trials: readonly Trial[], scenario: string): string[] {
  const own = trials.filter((trial) => trial.scenario === scenario && trial.round === 0)
  const parts: readonly [string, (trial: Trial) => readonly number[]][] = [
    ['requests', ({ result }) => result.timelineRequests],
    ['major faults', ({ timelineMajorFaults }) => timelineMajorFaults],
    ['TLB shootdowns', ({ timelineTlbShootdowns }) => timelineTlbShootdowns]
  ]
  return parts.flatMap(([name, pick]) => {
    const most = Math.max(...own.flatMap((trial) => pick(trial)), 0)
    const lines = own.map((trial) => `  ${trial.mode.padEnd(20)}${sparkline(pick(trial), most)}`)
    const each = `${name} in each ${timelineMilliseconds} ms of the first round, █ is ${short(most)}`
    return most === 0 ? [`${scenario}: ${name}: none`, ''] : [`${scenario}: ${each}`, ...lines, '']
  })
}

function sparkline(counts: readonly number[], most: number): string {
  return counts
    .map((count) => (count <= 0 ? '·' : heights[Math.ceil((count / most) * heights.length) - 1]))
    .join('')
}

interface ToldVerdict {
  readonly outcome: Outcome | undefined
  readonly sentence: string
}

function verdictsOn(claim: Claim, trials: readonly Trial[]): ToldVerdict[] {
  const answers = claim.questions.map((question) => answer(question, trials))
  return [...answers, ...deathVerdicts(claim, trials)]
}

function deathVerdicts({ dies, scenarios }: Claim, trials: readonly Trial[]): ToldVerdict[] {
  if (dies === undefined) return []
  const died = trials.filter(({ mode, signal }) => mode === dies.mode && signal === dies.signal)
  const others = [...new Set(trials.map(({ mode }) => mode))].filter((mode) =>
    trials.every((trial) => trial.mode !== mode || trial.isAliveAfter)
  )
  const told = scenarios.flatMap((scenario) => deaths(trials, scenario)).join('; ')
  return [
    {
      outcome: died.length > 0 ? 'holds here' : 'does not hold here',
      sentence: told === '' ? 'nobody died' : told
    },
    { outcome: undefined, sentence: `${others.join(', ')} answered afterwards in every round` }
  ]
}

/** A pair of figures for each round in which both were measured. */
function answer(question: Question, trials: readonly Trial[]): ToldVerdict {
  const { scenario, first, second, measure, secondMeasure = measure, says, expects } = question
  const own = trials.filter((trial) => trial.scenario === scenario)
  const a = valuesOf(own, first, measures[measure].pick)
  const b = new Map(valuesOf(own, second, measures[secondMeasure].pick))
  const pairs = a.flatMap(([round, value]) => {
    const other = b.get(round)
    return other === undefined ? [] : [[value, other] as const]
  })
  if (pairs.length === 0) {
    return {
      outcome: expects === undefined ? undefined : 'not measured here',
      sentence: `${scenario}: ${first} and ${second} were not both measured`
    }
  }
  if (pairs.flat().every((value) => value === 0)) {
    return {
      outcome: expects === undefined ? undefined : 'cannot be shown here',
      sentence: `${scenario}: ${measures[measure].title}: none with ${first}, and none with ${second}`
    }
  }
  const none = pairs.filter(([x, y]) => x <= 0 || y <= 0)
  if (none.length > 0) {
    const figures = (side: 0 | 1) => short(median(pairs.map((pair) => pair[side])))
    return {
      outcome: expects === undefined ? undefined : 'undecided here',
      sentence: `${scenario}: ${measures[measure].title}: ${first} ${figures(0)}, ${second} ${figures(1)}; a ratio to nothing is none`
    }
  }
  const comparison = comparePairs(pairs)
  const claim = says.replace('{ratio}', ratioWithInterval(comparison))
  return {
    outcome: expects === undefined ? undefined : outcomeOf(comparison, expects),
    sentence: `${scenario}: ${conclusion(comparison, claim, first, second)}`
  }
}

function outcomeOf({ kind }: Comparison, expects: 'more' | 'less'): Outcome {
  if (kind === 'undecided' || kind === 'unknown') return 'undecided here'
  return kind === expects ? 'holds here' : 'does not hold here'
}

function valuesOf(
  trials: readonly Trial[],
  mode: string,
  pick: Measure['pick']
): [round: number, value: number][] {
  return trials.flatMap((trial) => {
    const value = trial.mode === mode ? pick(trial) : undefined
    return value === undefined || !Number.isFinite(value)
      ? []
      : [[trial.round, value] as [number, number]]
  })
}

function short(value: number): string {
  return Math.abs(value) >= 100
    ? number(value)
    : value.toLocaleString('en', { maximumSignificantDigits: 3 })
}

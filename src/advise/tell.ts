/** The advice as text. */
import path from 'node:path'
import { median } from './averages.ts'
import type { FileFacts } from './files.ts'
import type { Memory } from './memory.ts'
import type { Finding, Recommendation } from './recommend.ts'
import { number, sizeText, table, wrapped } from './text.ts'
import type { AdviseTrial } from './trials.ts'

export interface Advice {
  readonly files: readonly FileFacts[]
  readonly machine: Memory & { readonly cpus: string }
  readonly trace: {
    readonly source: string
    readonly requests: number
    readonly others: number
    readonly unknown: number
    readonly windows: number
    readonly footprintBytes: number
  }
  /** for pages of the files */
  readonly memoryBytes: number
  readonly coldShare: number
  readonly firstTouches: number
  readonly curve: readonly { readonly memoryBytes: number; readonly share: number }[]
  readonly trials: readonly AdviseTrial[]
  readonly findings: readonly Finding[]
  readonly notes: readonly string[]
  readonly recommendation: Recommendation
}

export function tellAdvice(advice: Advice): string {
  const { machine, trace, recommendation, notes } = advice
  const limit =
    machine.limitBytes === undefined ? '' : `, ${sizeText(machine.limitBytes)} by the cgroup`
  return [
    'Files',
    ...table([fileTitles, ...advice.files.map(fileCells)]),
    ...wrapped(
      `Machine: ${sizeText(machine.totalBytes)} of memory${limit}, ${sizeText(machine.availableBytes)} of it for pages of files; ${machine.cpus}.`
    ),
    '',
    ...wrapped(
      `Requests (${trace.source}): ${number(trace.requests)}, of ${sizeText(trace.footprintBytes)} in different pages.${skippedText(trace)}`
    ),
    'Cold windows, by the memory for pages (LRU, from the requests in their order):',
    ...curveLines(advice),
    ...wrapped(
      `${number(advice.firstTouches * 100, 1)} % are the first of their pages, and cold with any memory.`,
      '  '
    ),
    '',
    ...stateLines(advice),
    ...notes.flatMap((note) => wrapped(note, '  ! ')),
    ...(notes.length === 0 ? [] : ['']),
    ...wrapped(recommendation.advice, 'Advice: '),
    ...recommendation.reasons.flatMap((reason) => wrapped(`${reason}.`, '  - '))
  ].join('\n')
}

function skippedText({ others, unknown }: Advice['trace']): string {
  if (others + unknown === 0) return ''
  return ` Left out: ${number(others)} of other files or without bytes, ${number(unknown)} lines in no known form.`
}

const fileTitles = ['file', 'size', 'in memory', 'file system', 'owner', 'residency']

function fileCells({ path: file, ...facts }: FileFacts): string[] {
  const { sizeBytes, residentBytes, fileSystem, isOwn, isLocal, isTrusted } = facts
  return [
    path.basename(file),
    sizeText(sizeBytes),
    residentBytes === undefined ? '-' : `${number((100 * residentBytes) / sizeBytes)} %`,
    `${fileSystem ?? 'unknown'}${isLocal ? '' : ', remote'}`,
    isOwn ? 'this user' : 'another',
    isTrusted ? 'is told' : 'is not told'
  ]
}

function curveLines({ curve, memoryBytes }: Advice): string[] {
  const width = 50
  return curve.map(({ memoryBytes: memory, share }) => {
    const bar = '█'.repeat(Math.round(share * width)).padEnd(width, '·')
    const mark = memory === memoryBytes ? '  ←' : ''
    return `  ${sizeText(memory).padStart(9)}  ${bar} ${number(share * 100, 1).padStart(5)} %${mark}`
  })
}

const trialTitles = ['', 'req/s', 'MB/s', 'p50 ms', 'p99 ms', 'max ms', 'CPU µs', 'load', 'faults']

function stateLines({ trials, findings }: Advice): string[] {
  const states = [...new Set(trials.map(({ state }) => state))]
  return states.flatMap((state) => {
    const own = trials.filter((trial) => trial.state === state)
    const modes = [...new Set(own.map(({ mode }) => mode))]
    const cells = modes.map((mode) =>
      trialCells(
        mode,
        own.filter((trial) => trial.mode === mode)
      )
    )
    const sentences = findings
      .filter((finding) => finding.state === state)
      .flatMap(({ sentence }) => wrapped(`${sentence}.`, '  → '))
    const title = state === 'cold' ? 'Cold at the beginning' : 'All in memory'
    const rounds = own.length / modes.length
    return [
      `${title}: ${rounds === 1 ? 'one round' : `medians of ${number(rounds)} rounds`}`,
      ...table([trialTitles, ...cells]),
      ...sentences,
      ''
    ]
  })
}

function trialCells(mode: string, own: readonly AdviseTrial[]): string[] {
  const of = (pick: (trial: AdviseTrial) => number | undefined) => {
    const values = own.map(pick).filter((value) => value !== undefined && !Number.isNaN(value))
    return values.length === 0 ? undefined : median(values as number[])
  }
  return [
    mode,
    number(of(({ requestsPerSecond }) => requestsPerSecond)),
    number(of(({ megabytesPerSecond }) => megabytesPerSecond)),
    number(
      of(({ p50Ms }) => p50Ms),
      2
    ),
    number(
      of(({ p99Ms }) => p99Ms),
      2
    ),
    number(
      of(({ maxMs }) => maxMs),
      1
    ),
    number(of(({ cpuMicroseconds }) => cpuMicroseconds)),
    `${number((of(({ generatorCpuShare }) => generatorCpuShare) ?? 0) * 100)} %`,
    number(of(({ majorFaults }) => majorFaults))
  ]
}

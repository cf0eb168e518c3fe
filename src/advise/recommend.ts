/** From what was found out to one recommendation, and its reasons. A pure function. */
import type { FileFacts } from './files.ts'
import type { Judgement } from './judge.ts'
import type { State } from './trials.ts'
import { times } from './verdict.ts'

export type Choice = 'mmap' | 'read' | 'nginx' | 'undecided'

export interface Recommendation {
  readonly choice: Choice
  /** one sentence */
  readonly advice: string
  readonly reasons: readonly string[]
}

/** Of `mmap`, which is guarded, against another mode in one state. */
export interface Finding extends Judgement {
  readonly state: State
  readonly other: string
}

export interface Findings {
  readonly files: readonly Pick<FileFacts, 'isTrusted' | 'isLocal'>[]
  /** of windows that are cold with the memory that there is, when all was touched once; by the trace */
  readonly steadyColdShare: number
  readonly findings: readonly Finding[]
}

/** With more cold windows than that, what cold ones cost is what counts. */
export const coldMatters = 0.1

export function recommend({ files, steadyColdShare, findings }: Findings): Recommendation {
  const state = mainState(steadyColdShare, findings)
  const against = (other: string) =>
    findings.find((finding) => finding.state === state && finding.other === other)
  const [read, nginx] = [against('read'), against('nginx')]
  const reasons = [
    memoryReason(steadyColdShare),
    ...findings.filter((finding) => finding.state === state).map(({ sentence }) => sentence),
    ...stallReasons(findings),
    ...trustReasons(files)
  ]
  const choice = choiceOf(read, nginx)
  return { choice, advice: adviceFor(choice, nginx, read), reasons }
}

/** The state that the trace is in most of the time, if it was measured. */
function mainState(coldShare: number, findings: readonly Finding[]): State {
  const wanted: State = coldShare > coldMatters ? 'cold' : 'in memory'
  return findings.some(({ state }) => state === wanted) ? wanted : (findings[0]?.state ?? wanted)
}

/** Where there is no difference, the one with less to go wrong. What is not settled recommends nothing. */
function choiceOf(read: Finding | undefined, nginx: Finding | undefined): Choice {
  if (read === undefined || !isSettled(read)) return 'undecided'
  const own = isBetter(read) ? 'mmap' : 'read'
  if (nginx === undefined || !isSettled(nginx) || isBetter(nginx)) return own
  // both were compared with mmap only
  return gainOf(nginx) >= gainOf(read) || isSame(read) ? 'nginx' : own
}

function isSettled({ comparison: { kind } }: Finding): boolean {
  return kind !== 'undecided' && kind !== 'unknown'
}

function isSame({ comparison: { kind } }: Finding): boolean {
  return kind === 'same'
}

/** How many times as good as `mmap` the other is. */
function gainOf({ comparison: { ratio }, measure }: Finding): number {
  return measure === 'requests' ? 1 / ratio : ratio
}

/** Whether `mmap` is better than the other. Of requests more is better, of time less. */
function isBetter({ comparison: { kind }, measure }: Finding): boolean {
  return kind === (measure === 'requests' ? 'more' : 'less')
}

function adviceFor(choice: Choice, nginx: Finding | undefined, read: Finding | undefined): string {
  const isOpen = nginx !== undefined && !isSettled(nginx)
  const open = isOpen ? ' Against nginx it is undecided: measure with more rounds (--rounds).' : ''
  switch (choice) {
    case 'mmap':
      return `Map these files, with the guard on: --mode mmap, which is the default.${open}`
    case 'read':
      return read !== undefined && isSame(read)
        ? `Use --mode read: mapping makes no difference here.${open}`
        : `Use --mode read: mapping is slower here.${open}`
    case 'nginx':
      return nginx !== undefined && isSame(nginx)
        ? 'Use nginx: there is no difference here.'
        : 'Use nginx: it is faster here.'
    case 'undecided':
      return read?.comparison.kind === 'unknown'
        ? 'Undecided: one round does not show how large the noise is. Measure with more (--rounds 5).'
        : 'Undecided: the noise of this machine is too large. Measure again with more rounds (--rounds).'
  }
}

function memoryReason(coldShare: number): string {
  const cold = `${times(coldShare * 100)} % of the windows that were sent before are cold when they are sent again`
  return coldShare > coldMatters
    ? `${cold}: the memory is too small for these requests, and the disk counts more than the way of sending`
    : `the working set fits into memory: ${cold}`
}

/** What the guard is for. */
function stallReasons(findings: readonly Finding[]): string[] {
  return findings
    .filter(({ state, other }) => state === 'cold' && other === 'mmap-unguarded')
    .filter((finding) => isBetter(finding))
    .map(() => 'without the guard, cold pages stop all connections: leave it on')
}

function trustReasons(files: Findings['files']): string[] {
  const reasons: string[] = []
  if (files.some(({ isTrusted }) => !isTrusted)) {
    reasons.push(
      'the kernel does not tell this user what is in memory, so that copies are sent instead of mappings: run the service as the owner of the files'
    )
  }
  if (files.some(({ isLocal }) => !isLocal)) {
    reasons.push(
      'a file system that another machine or process serves: a page fault may take seconds'
    )
  }
  return reasons
}

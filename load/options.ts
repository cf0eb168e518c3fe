/** The command line of the harness. */
import fs from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import type { Mode } from '#src/advise/modes.ts'
import { ownModes } from '#src/advise/service.ts'
import { type Claim, claims } from './claims.ts'
import { installedPeers, textbookModes } from './peers.ts'
import { projectFolder } from './project.ts'
import { type Scenario, scenarios } from './scenarios.ts'

export interface Options {
  readonly scenarios: readonly Scenario[]
  readonly modes: readonly Mode[]
  readonly rounds: number
  readonly seconds: number
  readonly seed: number
  /** the user's own file; undefined: one is made, or there are only URLs */
  readonly file: string | undefined
  /** servers that run already are measured, and none is started */
  readonly isRemote: boolean
  readonly dataParent: string
  readonly out: string
  /** a folder for the report as Markdown with pictures */
  readonly docs: string | undefined
  /** the load generator is compared with wrk */
  readonly checksGenerator: boolean
}

/** What was asked for. */
export type Command =
  | { readonly kind: 'help' }
  | { readonly kind: 'compare'; readonly before: string; readonly after: string }
  | { readonly kind: 'measure'; readonly options: Options }
  | {
      readonly kind: 'trial'
      /** each with what it needs */
      readonly runs: readonly { readonly claim: Claim; readonly options: Options }[]
      /** where mmap-on-trial.md is written; undefined: nowhere */
      readonly docs: string | undefined
    }

/** A value that cannot be used, in words for the user. */
export class UsageError extends Error {}

export function help(): string {
  const modes = [...ownModes, ...installedPeers()]
  const onlyNamed = textbookModes().map(({ name, says }) => ({ name: `${name}+`, says }))
  const mark = { quick: '*', default: '', named: '+' }
  return `Usage: npm run load -- [options]

Measures the modes of the service, and other servers that are installed, side by side on this machine.

  --quick             one round of the scenarios marked *, in some minutes
  --all               every scenario, those marked + too
  --scenario NAME     only this one; may be repeated
  --mode NAME         only this one; may be repeated
  --url URL           a file on a server that runs already, instead of starting any; may be repeated
  --rounds N          how often each pair of scenario and mode is measured (5; --quick: 1)
  --seconds N         of one trial (2; of a claim 1)
  --seed N            of the ranges that are asked for (1)
  --file PATH         measure this file instead of one of random bytes; with --url: what to compare with
  --data DIR          where data is made, and removed again; on a disk, not in memory (load/)
  --out DIR           where results.json and report.html are written (results/)
  --docs DIR          the report as results.md with pictures too, there; and the main table in
                      the README.md beside that folder, between its marks
  --wrk               the load generator against wrk too, where that is installed
  --claim NAME        what is said about mmap, tried: the scenarios and modes of this claim; may be repeated.
                      What was measured last of each is kept in OUT/claims
  --trial DIR         all claims, or those that are named; and mmap-on-trial.md there, from all that is kept
  --compare BEFORE AFTER
                      two results.json side by side, instead of measuring
  --help              this

Modes:
${[...modes, ...onlyNamed].map(({ name, says }) => `  ${name.padEnd(22)}${says}`).join('\n')}

Scenarios:
${scenarios.map(({ name, says, runs }) => `  ${(name + mark[runs]).padEnd(22)}${says}`).join('\n')}

Claims:
${claims.map(({ name, title }) => `  ${name.padEnd(22)}${title}`).join('\n')}`
}

/** @throws UsageError */
export function readCommand(args: string[]): Command {
  const { values, positionals } = parse(args)
  if (values.help === true) return { kind: 'help' }
  const { compare: before } = values
  const [after, ...others] = positionals
  if (before !== undefined && after !== undefined && others.length === 0) {
    return { kind: 'compare', before, after }
  }
  if (before !== undefined) {
    throw new UsageError('--compare: it takes two files, --compare before.json after.json')
  }
  if (after !== undefined) throw new UsageError(`${after}: not an option (see --help)`)
  const options = readOptions(values)
  if (values.claim === undefined && values.trial === undefined) return { kind: 'measure', options }
  return { kind: 'trial', runs: claimRuns(values, options), docs: folder(values.trial, 'trial') }
}

function claimRuns(values: ReturnType<typeof parse>['values'], options: Options) {
  const chosen = values.claim?.map((name) => named('claim', name, claims)) ?? claims
  const ofClaims = [values.scenario, values.mode, values.url].some((each) => each !== undefined)
  if (ofClaims) throw new UsageError('--claim, --trial: a claim has scenarios and modes of its own')
  const all = [...ownModes, ...installedPeers(), ...textbookModes()]
  return chosen.map((claim) => ({
    claim,
    options: {
      ...options,
      seconds: values.seconds === undefined ? 1 : options.seconds,
      scenarios: claim.scenarios.map((name) => named('scenario', name, scenarios)),
      modes: claim.modes.flatMap((name) => all.find((mode) => mode.name === name) ?? [])
    }
  }))
}

function readOptions(values: ReturnType<typeof parse>['values']): Options {
  const isQuick = values.quick === true
  const file = values.file === undefined ? undefined : path.resolve(values.file)
  if (file !== undefined && !isFile(file)) {
    throw new UsageError(`--file ${values.file}: there is no such file that can be read`)
  }
  const urls = values.url ?? []
  const chosen = chosenScenarios(values.scenario, isQuick, values.all === true)
  return {
    scenarios: urls.length === 0 ? chosen : chosen.filter(isForRemote),
    modes: urls.length === 0 ? chosenModes(values.mode, isQuick) : urls.map(remoteMode),
    rounds: wholeNumber('rounds', values.rounds, isQuick ? 1 : 5, 1, 100),
    seconds: wholeNumber('seconds', values.seconds, 2, 1, 3600),
    seed: wholeNumber('seed', values.seed, 1, 0, 2 ** 31),
    file,
    isRemote: urls.length > 0,
    dataParent: folder(values.data) ?? path.join(projectFolder, 'load'),
    out: path.resolve(values.out ?? path.join(projectFolder, 'results')),
    docs: folder(values.docs, 'docs'),
    checksGenerator: values.wrk === true
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: {
        help: { type: 'boolean' },
        quick: { type: 'boolean' },
        all: { type: 'boolean' },
        scenario: { type: 'string', multiple: true },
        mode: { type: 'string', multiple: true },
        url: { type: 'string', multiple: true },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        seed: { type: 'string' },
        file: { type: 'string' },
        data: { type: 'string' },
        out: { type: 'string' },
        docs: { type: 'string' },
        wrk: { type: 'boolean' },
        claim: { type: 'string', multiple: true },
        trial: { type: 'string' },
        compare: { type: 'string' }
      }
    })
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split('. ')[0]} (see --help)`)
  }
}

function isFile(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.R_OK)
    return fs.statSync(file).isFile()
  } catch {
    return false
  }
}

function folder(given: string | undefined, option = 'data'): string | undefined {
  if (given === undefined) return undefined
  const resolved = path.resolve(given)
  if (fs.statSync(resolved, { throwIfNoEntry: false })?.isDirectory() === true) return resolved
  throw new UsageError(`--${option} ${given}: there is no such folder`)
}

function chosenScenarios(
  names: readonly string[] | undefined,
  isQuick: boolean,
  isAll: boolean
): readonly Scenario[] {
  if (names === undefined) {
    return scenarios.filter(
      ({ runs }) => isAll || runs === 'quick' || (runs === 'default' && !isQuick)
    )
  }
  return names.map((name) => named('scenario', name, scenarios))
}

function chosenModes(names: readonly string[] | undefined, isQuick: boolean): readonly Mode[] {
  const all = [...ownModes, ...installedPeers()]
  if (names === undefined) return isQuick ? ownModes : all
  return names.map((name) => named('mode', name, [...all, ...textbookModes()]))
}

/** Those that need nothing of a server but that it serves. */
function isForRemote({ file, cache, background, workers, memoryLimitBytes }: Scenario): boolean {
  const needs = [background, workers, memoryLimitBytes]
  return file === 'main' && cache === 'hot' && needs.every((need) => need === undefined)
}

function remoteMode(url: string, _index: number, all: readonly string[]): Mode {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed?.protocol !== 'http:' && parsed?.protocol !== 'https:') {
    throw new UsageError(`--url ${url}: it may be the http or https URL of a file`)
  }
  const isAlone =
    all.filter((other) => URL.canParse(other) && new URL(other).host === parsed.host).length === 1
  return { name: isAlone ? parsed.host : parsed.href, says: 'runs already', url: parsed.href }
}

function named<T extends { readonly name: string }>(
  option: string,
  name: string,
  all: readonly T[]
): T {
  const found = all.find((each) => each.name === name)
  if (found !== undefined) return found
  const allowed = all.map((each) => each.name).join(', ')
  throw new UsageError(`--${option} ${name}: it may be ${allowed}`)
}

function wholeNumber(
  option: string,
  text: string | undefined,
  byDefault: number,
  min: number,
  max: number
): number {
  if (text === undefined) return byDefault
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw new UsageError(`--${option} ${text}: it may be a whole number from ${min} to ${max}`)
}

/** The command line of the harness. */
import fs from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { scenarios } from './scenarios.ts'
import { modes } from './service.ts'

export interface Options {
  readonly isQuick: boolean
  readonly scenarios: readonly string[]
  readonly modes: readonly string[]
  readonly rounds: number
  readonly seconds: number
  readonly seed: number
  readonly file: string | undefined
  readonly dataParent: string
  readonly out: string
}

/** A value that cannot be used, in words for the user. */
export class UsageError extends Error {}

export const help = `Usage: npm run load -- [options]

Measures the modes of the service side by side, on this machine.

  --quick             one short round of the most telling scenarios
  --scenario NAME     may be repeated; default: all
  --mode NAME         may be repeated; default: all of ${modes.map(({ name }) => name).join(', ')}
  --rounds N          how often each pair of scenario and mode is measured (3; --quick: 1)
  --seconds N         of one trial (3; --quick: 2)
  --seed N            of the ranges that are asked for (1)
  --file PATH         measure this file instead of one of random bytes
  --data DIR          where data is made, and removed again; on a disk, not in memory (load/)
  --out DIR           where results.json is written (results/)

Scenarios:
${scenarios.map(({ name, says }) => `  ${name.padEnd(18)}${says}`).join('\n')}`

/** @returns undefined when help was asked for; @throws UsageError */
export function readOptions(args: string[]): Options | undefined {
  const { values } = parse(args)
  if (values.help === true) return undefined
  const isQuick = values.quick === true
  const project = path.join(__dirname, '..', '..')
  const file = values.file === undefined ? undefined : path.resolve(values.file)
  if (file !== undefined && !(fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false)) {
    throw new UsageError(`--file ${values.file}: there is no such file`)
  }
  const dataParent = path.resolve(values.data ?? path.join(project, 'load'))
  if (!(fs.statSync(dataParent, { throwIfNoEntry: false })?.isDirectory() ?? false)) {
    throw new UsageError(`--data ${values.data}: there is no such folder`)
  }
  const names = scenarios.filter((each) => !isQuick || each.isQuick).map(({ name }) => name)
  return {
    isQuick,
    scenarios: oneOfEach(
      'scenario',
      values.scenario,
      names,
      scenarios.map(({ name }) => name)
    ),
    modes: oneOfEach(
      'mode',
      values.mode,
      modes.map(({ name }) => name)
    ),
    rounds: wholeNumber('rounds', values.rounds, isQuick ? 1 : 3, 1, 100),
    seconds: wholeNumber('seconds', values.seconds, isQuick ? 2 : 3, 1, 3600),
    seed: wholeNumber('seed', values.seed, 1, 0, 2 ** 31),
    file,
    dataParent,
    out: path.resolve(values.out ?? path.join(project, 'results'))
  }
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        help: { type: 'boolean' },
        quick: { type: 'boolean' },
        scenario: { type: 'string', multiple: true },
        mode: { type: 'string', multiple: true },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        seed: { type: 'string' },
        file: { type: 'string' },
        data: { type: 'string' },
        out: { type: 'string' }
      }
    })
  } catch (error) {
    throw new UsageError((error as Error).message)
  }
}

function oneOfEach(
  option: string,
  given: readonly string[] | undefined,
  byDefault: readonly string[],
  allowed: readonly string[] = byDefault
): readonly string[] {
  for (const name of given ?? []) {
    if (!allowed.includes(name)) {
      throw new UsageError(`--${option} ${name}: it may be ${allowed.join(', ')}`)
    }
  }
  return given ?? byDefault
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

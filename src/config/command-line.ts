/**
 * From the words of the command line and the environment to a configuration. No other file reads options from
 * process.argv or process.env; UV_THREADPOOL_SIZE, which is libuv's, is set in main.ts and read in thread-pool.ts.
 */
import { parseArgs } from 'node:util'
import { completionScript, shells } from './completions.ts'
import { helpText, otherFlags } from './help.ts'
import { nearestOf } from './nearest.ts'
import { type Config, type Option, options, variableOf } from './options.ts'
import { BadValue } from './values.ts'

/** What was asked for: to run with a configuration, or only to print a text. */
export type Command =
  | { readonly kind: 'serve'; readonly config: Config }
  | { readonly kind: 'print'; readonly text: string }

/** One or more options that cannot be used; `message` has a line for each. */
export class ConfigError extends Error {
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.problems = problems
  }
}

/**
 * @param argv the words after the program's name
 * @param env an option's variable has its name in upper snake case; a flag wins over it
 * @param version of the program
 * @throws ConfigError with one problem for each option that is wrong
 */
export function readCommand(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  version: string
): Command {
  if (argv[0] === 'completion') return completionFor(argv[1])
  const given = readFlags(argv)
  if (given.has('help')) return { kind: 'print', text: helpText() }
  if (given.has('version')) return { kind: 'print', text: version }
  const problems: string[] = []
  const config: Record<string, unknown> = {}
  for (const [key, option] of Object.entries<Option>(options)) {
    const { name, text } = textOf(option, given, env)
    try {
      config[key] = option.parse(text)
    } catch (error) {
      if (!(error instanceof BadValue)) throw error
      const shown = option.isSecret === true ? 'its value' : JSON.stringify(text)
      problems.push(`${name}: ${shown} is not ${error.message}`)
    }
  }
  if (problems.length > 0) throw new ConfigError(problems)
  // every key of the table was parsed by its own row
  return { kind: 'serve', config: Object.freeze(config) as unknown as Config }
}

/** @throws ConfigError */
function completionFor(word: string | undefined): Command {
  const shell = shells.find((name) => name === word)
  if (shell !== undefined) return { kind: 'print', text: completionScript(shell) }
  const problem = word === undefined ? ' needs' : `: ${JSON.stringify(word)} is not`
  throw new ConfigError([
    `completion${problem} a shell, one of ${shells.join(', ')}. A folder of this name is ./completion`
  ])
}

/** What an option was given, and by which name. */
interface Given {
  readonly name: string
  readonly text: string
}

function textOf(
  option: Option,
  given: ReadonlyMap<string, Given>,
  env: Readonly<Record<string, string | undefined>>
): Given {
  const fromFlag = given.get(option.flag)
  if (fromFlag !== undefined) return fromFlag
  const name = variableOf(option)
  const text = env[name]
  // compose files and unit files pass a variable that is not set as an empty one
  if (text !== undefined && text !== '') return { name, text }
  return { name: `--${option.flag}`, text: option.default }
}

/** What was given on the command line, by flag without dashes. @throws ConfigError */
function readFlags(argv: readonly string[]): Map<string, Given> {
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    options: {
      ...Object.fromEntries(rows.map(({ flag, short }) => [flag, form('string', short)])),
      ...Object.fromEntries(otherFlags.map(({ flag, short }) => [flag, form('boolean', short)]))
    }
  })
  const given = new Map<string, Given>()
  const problems: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') {
      // what follows an unknown option is likely its value
      if (problems.length > 0) continue
      const isSecond = given.has('root')
      if (isSecond) problems.push(`${JSON.stringify(token.value)} is a second folder; see --help`)
      else given.set('root', { name: 'DIR', text: token.value })
    } else if (token.kind === 'option') {
      const { name, rawName } = token
      if (otherFlags.some(({ flag }) => flag === name)) given.set(name, { name, text: '' })
      else if (!rows.some(({ flag }) => flag === name)) problems.push(unknown(rawName))
      else if (isMissing(token)) problems.push(`${rawName} needs a value; see --help`)
      else if (name === 'root' && given.get(name)?.name === 'DIR') {
        problems.push(`--root is a second folder beside ${JSON.stringify(given.get(name)?.text)}`)
        // not missing, as was just asked
      } else given.set(name, { name: rawName, text: token.value as string })
    }
  }
  if (problems.length > 0 && !given.has('help') && !given.has('version')) {
    throw new ConfigError(problems)
  }
  return given
}

const rows: readonly Option[] = Object.values(options)

function form(type: 'string' | 'boolean', short: string | undefined) {
  return short === undefined ? { type } : { type, short }
}

function unknown(rawName: string): string {
  const names = [...rows, ...otherFlags].map(({ flag }) => flag)
  const near = rawName.startsWith('--') ? nearestOf(rawName.slice(2), names) : undefined
  const advice = near === undefined ? 'see --help' : `did you mean --${near}? See --help`
  return `${rawName} is not an option; ${advice}`
}

/** Of `--port --mode read`, node:util would take --mode for the port. */
function isMissing(token: {
  value: string | undefined
  inlineValue: boolean | undefined
}): boolean {
  return !token.value || (token.inlineValue === false && token.value.startsWith('--'))
}

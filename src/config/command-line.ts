/**
 * From the words of the command line and the environment to a configuration. No other file reads options from
 * process.argv or process.env; UV_THREADPOOL_SIZE, which is libuv's, is set in main.ts and read in thread-pool.ts.
 */
import { parseArgs } from 'node:util'
import { helpText } from './help.ts'
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
  const flags = readFlags(argv)
  if (flags.has('help')) return { kind: 'print', text: helpText() }
  if (flags.has('version')) return { kind: 'print', text: version }
  const problems: string[] = []
  const config: Record<string, unknown> = {}
  for (const [key, option] of Object.entries<Option>(options)) {
    const [name, text] = textOf(option, flags, env)
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

/** What an option was given, and by which name. */
function textOf(
  option: Option,
  flags: ReadonlyMap<string, string>,
  env: Readonly<Record<string, string | undefined>>
): [name: string, text: string] {
  const fromFlag = flags.get(option.flag)
  if (fromFlag !== undefined) return [`--${option.flag}`, fromFlag]
  const variable = variableOf(option)
  const fromEnv = env[variable]
  // compose files and unit files pass a variable that is not set as an empty one
  if (fromEnv !== undefined && fromEnv !== '') return [variable, fromEnv]
  return [`--${option.flag}`, option.default]
}

/** What was given on the command line, by name without dashes. */
function readFlags(argv: readonly string[]): Map<string, string> {
  const names: string[] = Object.values(options).map((option) => option.flag)
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    options: Object.fromEntries(names.map((name) => [name, { type: 'string' as const }]))
  })
  const flags = new Map<string, string>()
  const problems: string[] = []
  for (const token of tokens) {
    if (token.kind === 'positional') {
      // what follows an unknown option is likely its value
      if (problems.length > 0) continue
      problems.push(`${JSON.stringify(token.value)} is not an option; see --help`)
    } else if (token.kind === 'option' && (token.name === 'help' || token.name === 'version')) {
      flags.set(token.name, '')
    } else if (token.kind === 'option' && !names.includes(token.name)) {
      problems.push(`${token.rawName} is not an option; see --help`)
    } else if (token.kind === 'option' && isMissing(token)) {
      problems.push(`${token.rawName} needs a value; see --help`)
    } else if (token.kind === 'option') {
      flags.set(token.name, token.value as string) // not missing, as was just asked
    }
  }
  if (problems.length > 0 && !flags.has('help') && !flags.has('version')) {
    throw new ConfigError(problems)
  }
  return flags
}

/** Of `--port --mode read`, node:util would take --mode for the port. */
function isMissing(token: {
  value: string | undefined
  inlineValue: boolean | undefined
}): boolean {
  return !token.value || (token.inlineValue === false && token.value.startsWith('--'))
}

/** Options that are given as values and not as texts: by an app that has the plugin. */
import { fileURLToPath } from 'node:url'
import { type Config, type Option, options } from './options.ts'
import { BadValue } from './values.ts'

// The options of the command that are about files.
const fileOptions = [
  'root',
  'prefix',
  'mode',
  'guard',
  'windowBytes',
  'regionBytes',
  'maxMappedBytes',
  'maxOpenFiles',
  'maxBufferedBytes',
  'maxWaitingReads',
  'revalidateMs',
  'maxRanges',
  'symlinks',
  'dotfiles',
  'cacheControl',
  'index',
  'serverTiming'
] as const

type FileOption = (typeof fileOptions)[number]
export type FileConfig = Pick<Config, FileOption>

/**
 * By the table of all options: the same defaults, and the same checks.
 * @param given what is missing or undefined has its default, but for the root
 * @param others names that are somebody else's
 * @throws TypeError that names the option, and says what is allowed
 */
export function readFileOptions(
  given: Readonly<Record<string, unknown>>,
  others: readonly string[]
): FileConfig {
  const known: readonly string[] = [...fileOptions, ...others]
  for (const name of Object.keys(given)) {
    if (!known.includes(name))
      throw new TypeError(`${name} is not an option; there are ${known.join(', ')}`)
  }
  if (given.root === undefined) throw new TypeError('root is missing: the folder that is served')
  const config = fileOptions.map((name) => [name, parsed(name, given[name])])
  // every option was parsed by its own row
  return Object.fromEntries(config) as FileConfig
}

function parsed(name: FileOption, value: unknown): unknown {
  const option: Option = options[name]
  try {
    return option.parse(value === undefined ? option.default : textOf(name, value))
  } catch (error) {
    if (!(error instanceof BadValue)) throw error
    const shown = typeof value === 'string' ? JSON.stringify(value) : String(value)
    throw new TypeError(`${name}: ${shown} is not ${error.message}`)
  }
}

/** As it would be written on the command line. */
function textOf(name: FileOption, value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
      return name === 'revalidateMs' ? `${value}ms` : `${value}`
    case 'boolean':
      return value ? 'on' : 'off'
    default:
      if (value instanceof URL && value.protocol === 'file:') return fileURLToPath(value)
      throw new TypeError(`${name}: a value of the type ${typeof value} is not allowed`)
  }
}

/** The command line of `advise`. */
import fs from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { BadValue, GiB, integer, KiB, MiB, oneOf, type Parse, size } from '../config/values.ts'
import { type Pattern, patterns } from './access.ts'

export interface AdviseOptions {
  readonly files: readonly string[]
  /** a log of requests; undefined: the pattern */
  readonly log: string | undefined
  readonly pattern: Pattern
  readonly rangeBytes: number
  /** for pages of the files; undefined: what this machine, or the group of this process, has */
  readonly memoryBytes: number | undefined
  readonly connections: number
  readonly rounds: number
  readonly seconds: number
  /** the cache of the machine stays as it is: there are no cold trials */
  readonly keepsCache: boolean
  readonly isJson: boolean
}

/** One or more words that cannot be used; `message` has a line for it. */
export class UsageError extends Error {}

export const adviseHelp = `usage: mmap-range-server advise FILE... [options]

Says whether files should be served from mappings: what they and the machine are, how much of them is in
memory, how cold they are with less, and how the modes of this service answer real requests.

  --requests LOG      replay the requests of a log: the access log of this service (JSON lines with path and
                      range), or one of nginx with "$http_range"
  --pattern NAME      without a log: ${patterns.join(', ')} (uniform)
  --range-bytes SIZE  of the pattern (64KiB)
  --memory SIZE       memory for pages of the files; where a cgroup can be made, the cold trials run in it
  --connections N     of the replay (16)
  --rounds N          how often each mode is measured (5)
  --seconds N         of one trial (1)
  --keep-cache        do not drop the files from memory: no cold trials
  --json              all figures as JSON, on stdout
  --help              this

Without --keep-cache the files are dropped from the page cache for the cold trials, which slows down whoever
uses them meanwhile.`

/**
 * @returns undefined when help was asked for
 * @throws UsageError
 */
export function readAdviseOptions(argv: readonly string[]): AdviseOptions | undefined {
  const { values, positionals } = parse(argv)
  if (values.help === true) return undefined
  if (positionals.length === 0) throw new UsageError('advise: it needs a FILE; see advise --help')
  const take = <T>(option: keyof typeof values, parser: Parse<T>, byDefault: T): T => {
    const text = values[option]
    return typeof text === 'string' ? parsed(`--${option}`, text, parser) : byDefault
  }
  return {
    files: positionals.map((file) => readable('', file, 1)),
    log: values.requests === undefined ? undefined : readable('--requests ', values.requests, 0),
    pattern: take('pattern', oneOf(...patterns), 'uniform'),
    rangeBytes: take('range-bytes', size(1, GiB), 64 * KiB),
    memoryBytes: take<number | undefined>('memory', size(16 * MiB, 1024 * 1024 * GiB), undefined),
    connections: take('connections', integer(1, 1000), 16),
    rounds: take('rounds', integer(1, 100), 5),
    seconds: take('seconds', integer(1, 3600), 1),
    keepsCache: values['keep-cache'] === true,
    isJson: values.json === true
  }
}

function parse(argv: readonly string[]) {
  try {
    return parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        help: { type: 'boolean', short: 'h' },
        requests: { type: 'string' },
        pattern: { type: 'string' },
        'range-bytes': { type: 'string' },
        memory: { type: 'string' },
        connections: { type: 'string' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        'keep-cache': { type: 'boolean' },
        json: { type: 'boolean' }
      }
    })
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split('. ')[0]}; see advise --help`)
  }
}

function parsed<T>(option: string, text: string, parser: Parse<T>): T {
  try {
    return parser(text)
  } catch (error) {
    if (!(error instanceof BadValue)) throw error
    throw new UsageError(`${option}: ${JSON.stringify(text)} is not ${error.message}`)
  }
}

/** @returns the file without symbolic links */
function readable(option: string, file: string, leastBytes: number): string {
  try {
    fs.accessSync(file, fs.constants.R_OK)
    const stats = fs.statSync(file)
    if (stats.isFile() && stats.size >= leastBytes) return fs.realpathSync(path.resolve(file))
  } catch {
    // said below
  }
  throw new UsageError(
    `${option}${JSON.stringify(file)} is not a file with bytes that this user may read`
  )
}

/**
 * Every option of the service, as one table: from it come the flags, the environment variables, the defaults,
 * the checks and the text of --help. Nothing else reads process.argv or, but for libuv's own
 * UV_THREADPOOL_SIZE, process.env.
 */
import { accessSync, constants, statSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { pageBytes } from '../storage/native/native.ts'
import { grantedCpus } from './cpus.ts'
import { affordableConnections } from './descriptors.ts'
import { sampleFolder } from './package.ts'

export interface Config {
  readonly root: string
  readonly host: string
  readonly port: number
  readonly prefix: string
  readonly mode: 'mmap' | 'read'
  readonly guard: 'on' | 'off'
  readonly workers: number
  readonly windowBytes: number
  readonly regionBytes: number
  readonly maxMappedBytes: number
  readonly maxOpenFiles: number
  readonly maxConnections: number
  readonly maxWaitingReads: number
  readonly maxEventLoopDelayMs: number
  readonly revalidateMs: number
  readonly maxRanges: number
  readonly symlinks: 'deny' | 'within'
  readonly dotfiles: 'deny' | 'allow'
  readonly cacheControl: string
  readonly corsOrigin: readonly string[] | '*' | 'off'
  readonly opsPort: number | undefined
  readonly serverTiming: 'on' | 'off'
  readonly warm: readonly WarmPattern[]
  readonly warmShare: number
  readonly warmRate: number
  readonly exemplars: 'on' | 'off'
  readonly stallThresholdMs: number
  readonly shutdownTimeoutMs: number
  readonly logLevel: (typeof logLevels)[number]
}

/** Files that are to be in memory before the service is ready, or a part of each. */
export interface WarmPattern {
  readonly glob: string
  /** bytes, half-open; undefined: whole files */
  readonly range: { readonly start: number; readonly end: number } | undefined
}

export const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

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

/** A value that is not allowed; `allowed` says what is. */
class BadValue extends Error {}

interface Option<T> {
  /** name of the value in --help */
  readonly value: string
  readonly default: string
  readonly help: string
  /** @throws BadValue */
  readonly parse: (text: string) => T
}

const KiB = 1024
const MiB = 1024 * KiB
const GiB = 1024 * MiB

const options: { readonly [K in keyof Config]: Option<Config[K]> & { readonly flag: string } } = {
  root: {
    flag: 'root',
    value: 'DIR',
    default: sampleFolder,
    help: 'the folder that is served',
    parse: readableFolder
  },
  host: {
    flag: 'host',
    value: 'ADDRESS',
    default: '127.0.0.1',
    help: 'where to listen; 0.0.0.0 or :: for all addresses',
    parse: nonEmpty('an address or host name')
  },
  port: {
    flag: 'port',
    value: 'N',
    default: '8080',
    help: 'where to listen; 0: any free port',
    parse: integer(0, 65535)
  },
  prefix: {
    flag: 'prefix',
    value: 'PATH',
    default: '/files/',
    help: 'URL path under which the root is served',
    parse: urlPrefix
  },
  mode: {
    flag: 'mode',
    value: 'mmap|read',
    default: 'mmap',
    help: 'mmap: from mapped regions, guarded; read: fs.read into buffers',
    parse: oneOf('mmap', 'read')
  },
  guard: {
    flag: 'guard',
    value: 'on|off',
    default: 'on',
    help: 'off: send mapped windows without asking whether they are in memory; for experiments',
    parse: oneOf('on', 'off')
  },
  workers: {
    flag: 'workers',
    value: 'N|auto',
    default: '1',
    help: 'processes that share the port and the page cache; auto: the CPUs that the cgroup grants',
    parse: (text) => (text === 'auto' ? grantedCpus() : integer(1, 256, 'auto, or ')(text))
  },
  windowBytes: {
    flag: 'window-bytes',
    value: 'SIZE',
    default: '1MiB',
    help: 'most bytes handed to the socket between two residency checks',
    parse: size(4 * KiB, 64 * MiB)
  },
  regionBytes: {
    flag: 'region-bytes',
    value: 'SIZE',
    default: '256MiB',
    help: 'size of one mapped region of a file; a multiple of the page size',
    parse: wholePages(size(pageBytes, GiB))
  },
  maxMappedBytes: {
    flag: 'max-mapped-bytes',
    value: 'SIZE',
    default: '64GiB',
    help: 'address space for all regions of the process; the least recently used go first',
    parse: size(0, 64 * 1024 * GiB)
  },
  maxOpenFiles: {
    flag: 'max-open-files',
    value: 'N',
    default: '1000',
    help: 'open files that are kept',
    parse: integer(1, 1_000_000)
  },
  maxConnections: {
    flag: 'max-connections',
    value: 'N|auto',
    default: 'auto',
    help: 'connections of a process; requests on others get 503. auto: half of its file descriptors, at most 10000',
    parse: (text) =>
      text === 'auto' ? affordableConnections() : integer(1, 1_000_000, 'auto, or ')(text)
  },
  maxWaitingReads: {
    flag: 'max-waiting-reads',
    value: 'N',
    default: '1000',
    help: 'requests that may wait for a slow disk; others get 503. What is in memory does not wait',
    parse: integer(1, 1_000_000)
  },
  maxEventLoopDelayMs: {
    flag: 'max-event-loop-delay',
    value: 'TIME',
    default: '1s',
    help: 'mean delay of the event loop beyond which requests get 503; 0ms: never',
    parse: duration(0, 3600_000)
  },
  revalidateMs: {
    flag: 'revalidate',
    value: 'TIME',
    default: '0ms',
    help: "how long a file's size and mtime are trusted without asking the file system again",
    parse: duration(0, 24 * 3600_000)
  },
  maxRanges: {
    flag: 'max-ranges',
    value: 'N',
    default: '64',
    help: 'most ranges in one request; with more, the Range header is ignored',
    parse: integer(1, 1000)
  },
  symlinks: {
    flag: 'symlinks',
    value: 'deny|within',
    default: 'within',
    help: 'within: followed while the target stays below the root',
    parse: oneOf('deny', 'within')
  },
  dotfiles: {
    flag: 'dotfiles',
    value: 'deny|allow',
    default: 'deny',
    help: 'deny: names that begin with a dot answer 404',
    parse: oneOf('deny', 'allow')
  },
  cacheControl: {
    flag: 'cache-control',
    value: 'TEXT',
    default: 'public, max-age=0, must-revalidate',
    help: 'Cache-Control of 200, 206 and 304',
    parse: headerText
  },
  corsOrigin: {
    flag: 'cors-origin',
    value: 'LIST|*|off',
    default: '*',
    help: 'origins whose pages may read the files: *, one, a comma list, or off',
    parse: corsOrigins
  },
  opsPort: {
    flag: 'ops-port',
    value: 'N',
    default: 'none',
    help: 'a second port for /metrics, /healthz, /readyz, /residency and /warm; 0: any free one',
    parse: (text) => (text === 'none' ? undefined : integer(0, 65535, 'none, or ')(text))
  },
  serverTiming: {
    flag: 'server-timing',
    value: 'on|off',
    default: 'off',
    help: "on: each file's answer says where its bytes came from and what they cost",
    parse: oneOf('on', 'off')
  },
  warm: {
    flag: 'warm',
    value: 'LIST',
    default: 'none',
    help: 'files read into memory at the start, before /readyz answers 200: globs, each with :FIRST-LAST for a part',
    parse: warmPatterns
  },
  warmShare: {
    flag: 'warm-share',
    value: 'SHARE',
    default: '0.95',
    help: 'how much of them must be in memory for that',
    parse: share
  },
  warmRate: {
    flag: 'warm-rate',
    value: 'SIZE',
    default: '256MiB',
    help: 'bytes a second to read for that at the most',
    parse: size(MiB, 1024 * GiB)
  },
  exemplars: {
    flag: 'exemplars',
    value: 'on|off',
    default: 'off',
    help: 'on: OpenMetrics histograms name the request that each bucket saw last',
    parse: oneOf('on', 'off')
  },
  stallThresholdMs: {
    flag: 'stall-threshold',
    value: 'TIME',
    default: '100ms',
    help: 'a longer stall of the event loop is logged, with what was being written; 0ms: never',
    parse: duration(0, 3600_000)
  },
  shutdownTimeoutMs: {
    flag: 'shutdown-timeout',
    value: 'TIME',
    default: '10s',
    help: 'after SIGTERM or SIGINT: how long running responses may take to end',
    parse: duration(0, 3600_000)
  },
  logLevel: {
    flag: 'log-level',
    value: 'LEVEL',
    default: 'info',
    help: logLevels.join(', '),
    parse: oneOf(...logLevels)
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
  for (const [key, option] of Object.entries(options)) {
    const variable = option.flag.toUpperCase().replaceAll('-', '_')
    const fromEnv = env[variable]
    const [name, text] = flags.has(option.flag)
      ? [`--${option.flag}`, flags.get(option.flag) as string]
      : fromEnv !== undefined && fromEnv !== ''
        ? [variable, fromEnv]
        : [`--${option.flag}`, option.default]
    try {
      config[key] = option.parse(text)
    } catch (error) {
      if (!(error instanceof BadValue)) throw error
      problems.push(`${name}: ${JSON.stringify(text)} is not ${error.message}`)
    }
  }
  if (problems.length > 0) throw new ConfigError(problems)
  // every key of the table was parsed by its own row
  return { kind: 'serve', config: Object.freeze(config) as unknown as Config }
}

/** What was given on the command line, by name without dashes. */
function readFlags(argv: readonly string[]): Map<string, string> {
  const names = Object.values(options).map((option) => option.flag)
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
      flags.set(token.name, token.value as string)
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

function helpText(): string {
  const rows = Object.values(options).map((option) => {
    const left = `  --${option.flag} ${option.value}`.padEnd(32)
    const standard = option.flag === 'root' ? 'the sample folder' : option.default
    return `${left} ${option.help} (${standard})`
  })
  return [
    'Serves byte ranges of files over HTTP from memory-mapped regions.',
    '',
    'usage: node dist/main.js [options]',
    '',
    ...rows,
    `${'  --help, --version'.padEnd(32)} print this, or the version, and exit`,
    '',
    'Sizes take bytes or KiB, MiB, GiB; times take ms, s, m. Each option may come from an environment',
    'variable of the same name in upper snake case (MAX_RANGES=8); a flag wins over the variable.'
  ].join('\n')
}

function readableFolder(text: string): string {
  try {
    if (statSync(text).isDirectory()) {
      accessSync(text, constants.R_OK | constants.X_OK)
      return path.resolve(text)
    }
  } catch {
    // said below: missing, or not to be read by this user
  }
  throw new BadValue('a folder that exists and that this user may read')
}

function nonEmpty(allowed: string) {
  return (text: string): string => {
    if (text.trim() === '') throw new BadValue(allowed)
    return text
  }
}

function urlPrefix(text: string): string {
  // pchar and "/" of RFC 3986 §3.3 without percent-encoding; the router gives ":" and "*" a meaning
  const isPath = /^\/([A-Za-z0-9\-._~!$&'()+,;=@]+\/)*$/.test(text)
  if (!isPath || text.split('/').some((name) => name === '.' || name === '..')) {
    throw new BadValue('a URL path that begins and ends with "/", such as /files/')
  }
  return text
}

function oneOf<T extends string>(...allowed: readonly T[]) {
  return (text: string): T => {
    const found = allowed.find((value) => value === text)
    if (found === undefined) throw new BadValue(`one of ${allowed.join(', ')}`)
    return found
  }
}

function integer(min: number, max: number, orElse = '') {
  return (text: string): number => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (!(value >= min && value <= max)) {
      throw new BadValue(`${orElse}a whole number from ${min} to ${max}`)
    }
    return value
  }
}

function size(min: number, max: number) {
  const units: Record<string, number> = { '': 1, KiB, MiB, GiB }
  return (text: string): number => {
    const match = /^(\d{1,15})\s?(KiB|MiB|GiB|)$/.exec(text)
    const value = match === null ? Number.NaN : Number(match[1]) * (units[match[2] ?? ''] ?? 1)
    if (!(value >= min && value <= max)) {
      const range = `${sizeText(min)} to ${sizeText(max)}`
      throw new BadValue(`a size from ${range}, in bytes or with KiB, MiB or GiB`)
    }
    return value
  }
}

function sizeText(bytes: number): string {
  if (bytes > 0 && bytes % GiB === 0) return `${bytes / GiB}GiB`
  if (bytes > 0 && bytes % MiB === 0) return `${bytes / MiB}MiB`
  if (bytes > 0 && bytes % KiB === 0) return `${bytes / KiB}KiB`
  return `${bytes}`
}

function wholePages(parse: (text: string) => number) {
  return (text: string): number => {
    const value = parse(text)
    if (value % pageBytes !== 0) throw new BadValue(`a multiple of the page size, ${pageBytes}`)
    return value
  }
}

function duration(minMs: number, maxMs: number) {
  const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000 }
  return (text: string): number => {
    const match = /^(\d{1,12})\s?(ms|s|m)$/.exec(text)
    const value = match === null ? Number.NaN : Number(match[1]) * (units[match[2] ?? ''] ?? 1)
    if (!(value >= minMs && value <= maxMs)) {
      throw new BadValue(`a time with its unit from ${minMs}ms to ${maxMs / 1000}s, in ms, s or m`)
    }
    return value
  }
}

function warmPatterns(text: string): readonly WarmPattern[] {
  if (text === 'none') return []
  return text.split(',').map((item) => {
    const match = /^([^:]+)(?::(\d{1,15})-(\d{1,15}))?$/.exec(item.trim())
    const [glob, first, last] = [match?.[1], match?.[2], match?.[3]]
    if (glob === undefined || (first !== undefined && Number(first) > Number(last))) {
      throw new BadValue(
        'globs relative to the root, separated by commas, such as *.pmtiles:0-1048575'
      )
    }
    const range = first === undefined ? undefined : { start: Number(first), end: Number(last) + 1 }
    return { glob, range }
  })
}

function share(text: string): number {
  const value = /^(0(\.\d{1,6})?|1(\.0{1,6})?)$/.test(text) ? Number(text) : Number.NaN
  if (Number.isNaN(value)) throw new BadValue('a share from 0 to 1, such as 0.95')
  return value
}

function headerText(text: string): string {
  // field-content of RFC 9110 §5.5, ASCII only
  if (!/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(text)) {
    throw new BadValue('the value of a header field: printable ASCII')
  }
  return text
}

function corsOrigins(text: string): Config['corsOrigin'] {
  if (text === '*' || text === 'off') return text
  const origins = text.split(',').map((origin) => origin.trim())
  for (const origin of origins) {
    // an origin is what a browser sends: scheme and host, no path (RFC 6454 §6.1)
    if (!URL.canParse(origin) || new URL(origin).origin !== origin) {
      throw new BadValue('*, off, or origins such as https://maps.example, separated by commas')
    }
  }
  return origins
}

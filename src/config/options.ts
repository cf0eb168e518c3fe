/**
 * Every option of the service, as one table: from it come the flags, the environment variables, the defaults,
 * the checks, the text of --help, the completions of shells, the manual page, the table of docs/options.md and the
 * type of the configuration.
 */
import { grantedCpus } from './cpus.ts'
import { affordableConnections } from './descriptors.ts'
import { sampleFolder } from './package.ts'
import { pageBytes } from './page-size.ts'
import {
  addressList,
  bearerToken,
  corsOrigins,
  duration,
  GiB,
  globList,
  headerText,
  integer,
  KiB,
  MiB,
  nonEmpty,
  oneOf,
  type Parse,
  readableFolder,
  share,
  size,
  urlPrefix,
  warmPatterns,
  wholePages,
  wordOr
} from './values.ts'

export type { WarmPattern } from './values.ts'

/** The headings of --help, in its order: what people look for most comes first. */
export const optionGroups = {
  common: 'Most used',
  files: 'Files and their headers',
  operations: 'Logs, metrics, shutdown',
  memory: 'Files kept in memory',
  limits: 'Limits',
  internals: 'How it serves'
} as const

export interface Option {
  /** the name on the command line, without dashes */
  readonly flag: string
  /** the heading of --help that it stands under */
  readonly group: keyof typeof optionGroups
  /** one letter that means the same on the command line */
  readonly short?: string
  /** name of the value in --help */
  readonly value: string
  readonly default: string
  /** what --help says instead of a default that is different on each machine */
  readonly shownDefault?: string
  readonly help: string
  /** whether messages must not show its value */
  readonly isSecret?: true
  readonly parse: Parse<unknown>
}

const logLevels = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const

export const options = {
  root: {
    flag: 'root',
    group: 'common',
    value: 'DIR',
    default: sampleFolder,
    shownDefault: 'the sample folder',
    help: 'the folder that is served; it may also stand alone, without --root',
    parse: readableFolder
  },
  host: {
    flag: 'host',
    group: 'common',
    value: 'ADDRESS',
    default: '127.0.0.1',
    help: 'where to listen; 0.0.0.0 or :: for all addresses',
    parse: nonEmpty('an address or host name')
  },
  port: {
    flag: 'port',
    group: 'common',
    short: 'p',
    value: 'N',
    default: '8080',
    help: 'where to listen; 0: any free port',
    parse: integer(0, 65535)
  },
  prefix: {
    flag: 'prefix',
    group: 'files',
    value: 'PATH',
    default: '/files/',
    help: 'URL path under which the root is served',
    parse: urlPrefix
  },
  index: {
    flag: 'index',
    group: 'common',
    value: 'auto|on|off',
    default: 'auto',
    help: 'on: a folder answers with a list of its files; auto: on for the sample folder, else off',
    parse: oneOf('auto', 'on', 'off')
  },
  mode: {
    flag: 'mode',
    group: 'internals',
    value: 'mmap|read',
    default: 'mmap',
    help: 'mmap: from mapped regions, guarded; read: fs.read into buffers',
    parse: oneOf('mmap', 'read')
  },
  guard: {
    flag: 'guard',
    group: 'internals',
    value: 'on|off',
    default: 'on',
    help: 'off: send mapped windows without asking whether they are in memory. The textbook way, for experiments',
    parse: oneOf('on', 'off')
  },
  workers: {
    flag: 'workers',
    group: 'common',
    value: 'N|auto',
    default: '1',
    help: 'processes that share the port and the page cache; auto: the CPUs that the cgroup grants, rounded down',
    parse: wordOr('auto', () => grantedCpus(), integer(1, 256))
  },
  windowBytes: {
    flag: 'window-bytes',
    group: 'internals',
    value: 'SIZE',
    default: '1MiB',
    help: 'most bytes handed to the socket between two residency checks; in read mode also the memory that one client takes',
    parse: size(4 * KiB, 64 * MiB)
  },
  regionBytes: {
    flag: 'region-bytes',
    group: 'internals',
    value: 'SIZE',
    default: '256MiB',
    help: 'size of one mapped region of a file; a multiple of the page size',
    parse: wholePages(size(pageBytes, GiB), pageBytes)
  },
  maxMappedBytes: {
    flag: 'max-mapped-bytes',
    group: 'internals',
    value: 'SIZE',
    default: '64GiB',
    help: 'address space for all regions of the process; the least recently used go first',
    parse: size(0, 64 * 1024 * GiB)
  },
  maxBufferedBytes: {
    flag: 'max-buffered-bytes',
    group: 'limits',
    value: 'SIZE',
    default: '32MiB',
    help: 'bytes of copied windows that a process holds for sockets; beyond it reads wait their turn',
    parse: size(MiB, 1024 * GiB)
  },
  maxOpenFiles: {
    flag: 'max-open-files',
    group: 'limits',
    value: 'N',
    default: '1000',
    help: 'open files that are kept',
    parse: integer(1, 1_000_000)
  },
  maxConnections: {
    flag: 'max-connections',
    group: 'limits',
    value: 'N|auto',
    default: 'auto',
    help: 'connections of a process; requests on others get 503. auto: half of its file descriptors, at most 10000',
    parse: wordOr('auto', () => affordableConnections(), integer(1, 1_000_000))
  },
  maxWaitingReads: {
    flag: 'max-waiting-reads',
    group: 'limits',
    value: 'N',
    default: '1000',
    help: 'requests that may wait for a slow disk; others get 503. What is in memory does not wait',
    parse: integer(1, 1_000_000)
  },
  maxEventLoopDelayMs: {
    flag: 'max-event-loop-delay',
    group: 'limits',
    value: 'TIME',
    default: '1s',
    help: 'mean delay of the event loop beyond which requests for files get 503; 0ms: never',
    parse: duration(0, 3600_000)
  },
  revalidateMs: {
    flag: 'revalidate',
    group: 'files',
    value: 'TIME',
    default: '0ms',
    help: "how long a file's size and mtime are trusted without asking the file system again",
    parse: duration(0, 24 * 3600_000)
  },
  maxRanges: {
    flag: 'max-ranges',
    group: 'files',
    value: 'N',
    default: '64',
    help: 'most ranges in one request; with more, the Range header is ignored',
    parse: integer(1, 1000)
  },
  symlinks: {
    flag: 'symlinks',
    group: 'files',
    value: 'deny|within',
    default: 'within',
    help: 'within: followed while the target stays below the root; deny: not at all',
    parse: oneOf('deny', 'within')
  },
  dotfiles: {
    flag: 'dotfiles',
    group: 'files',
    value: 'deny|allow',
    default: 'deny',
    help: 'deny: names that begin with a dot answer 404',
    parse: oneOf('deny', 'allow')
  },
  cacheControl: {
    flag: 'cache-control',
    group: 'files',
    value: 'TEXT',
    default: 'public, max-age=0, must-revalidate',
    help: 'Cache-Control of 200, 206 and 304',
    parse: headerText
  },
  corsOrigin: {
    flag: 'cors-origin',
    group: 'files',
    value: 'LIST|*|off',
    default: '*',
    help: 'origins whose pages may read the files: *, one, a comma list, or off',
    parse: corsOrigins
  },
  opsPort: {
    flag: 'ops-port',
    group: 'common',
    value: 'N',
    default: 'none',
    help: 'a second port for the live page, /metrics, /healthz, /readyz, /residency and /warm; 0: any free one',
    parse: wordOr('none', () => undefined, integer(0, 65535))
  },
  opsHost: {
    flag: 'ops-host',
    group: 'operations',
    value: 'ADDRESS',
    default: '127.0.0.1',
    help: 'where the ops port listens, whatever --host is',
    parse: nonEmpty('an address or host name')
  },
  opsToken: {
    flag: 'ops-token',
    group: 'operations',
    value: 'TOKEN',
    default: 'none',
    help: 'each route of the ops port but /healthz and /readyz wants it, as a Bearer token; a variable hides it from other users',
    isSecret: true,
    parse: wordOr('none', () => undefined, bearerToken)
  },
  publicOps: {
    flag: 'public-ops',
    group: 'operations',
    value: 'on|off',
    default: 'off',
    help: 'on: /metrics on the main port too. /healthz and /readyz are there when there is no ops port',
    parse: oneOf('on', 'off')
  },
  accessLog: {
    flag: 'access-log',
    group: 'operations',
    value: 'on|off',
    default: 'off',
    help: 'on: a line in the log for each answer, at level info: who asked, for what, and what it was given',
    parse: oneOf('on', 'off')
  },
  trustProxy: {
    flag: 'trust-proxy',
    group: 'operations',
    value: 'LIST',
    default: 'none',
    help: 'proxies whose X-Forwarded-For is believed for the address in the log: addresses and CIDRs, separated by commas',
    parse: addressList
  },
  serverTiming: {
    flag: 'server-timing',
    group: 'operations',
    value: 'on|off',
    default: 'off',
    help: "on: each file's answer says in Server-Timing where its bytes came from and what they cost",
    parse: oneOf('on', 'off')
  },
  warm: {
    flag: 'warm',
    group: 'memory',
    value: 'LIST',
    default: 'none',
    help: 'files read into memory at the start, before /readyz answers 200: globs, each with :FIRST-LAST for a part',
    parse: warmPatterns
  },
  warmShare: {
    flag: 'warm-share',
    group: 'memory',
    value: 'SHARE',
    default: '0.95',
    help: 'how much of them must be in memory for that',
    parse: share
  },
  warmRate: {
    flag: 'warm-rate',
    group: 'memory',
    value: 'SIZE',
    default: '256MiB',
    help: 'bytes a second to read for that, and for --pin, at the most',
    parse: size(MiB, 1024 * GiB)
  },
  pin: {
    flag: 'pin',
    group: 'memory',
    value: 'LIST',
    default: 'none',
    help: 'files whose pages are kept in memory by mlock(2), within RLIMIT_MEMLOCK: globs',
    parse: globList
  },
  fastPath: {
    flag: 'fast-path',
    group: 'internals',
    value: 'on|off',
    default: 'on',
    help: 'off: every request goes through node:http and Fastify; answers are the same',
    parse: oneOf('on', 'off')
  },
  exemplars: {
    flag: 'exemplars',
    group: 'operations',
    value: 'on|off',
    default: 'off',
    help: 'on: OpenMetrics histograms name the request that each bucket saw last',
    parse: oneOf('on', 'off')
  },
  stallThresholdMs: {
    flag: 'stall-threshold',
    group: 'operations',
    value: 'TIME',
    default: '100ms',
    help: 'a longer stall of the event loop is logged, with what was being written; 0ms: never',
    parse: duration(0, 3600_000)
  },
  shutdownTimeoutMs: {
    flag: 'shutdown-timeout',
    group: 'operations',
    value: 'TIME',
    default: '10s',
    help: 'after SIGTERM or SIGINT: how long running responses may take to end',
    parse: duration(0, 3600_000)
  },
  logLevel: {
    flag: 'log-level',
    group: 'operations',
    value: logLevels.join('|'),
    default: 'info',
    help: 'the least important lines that are logged',
    parse: oneOf(...logLevels)
  },
  logFormat: {
    flag: 'log-format',
    group: 'operations',
    value: 'auto|json|text',
    default: 'auto',
    help: 'json: JSON lines on stdout; text: lines for people; auto: text on a terminal, else json',
    parse: oneOf('auto', 'json', 'text')
  }
} as const satisfies Readonly<Record<string, Option>>

/** What `--index` means for a root. */
export function listsFolders({ index, root }: Pick<Config, 'index' | 'root'>): boolean {
  return index === 'on' || (index === 'auto' && root === sampleFolder)
}

/** The words that an option may be given: of `on|off` both, of `N|auto` the second. */
export function choicesOf({ value }: Option): readonly string[] {
  return value.split('|').filter((word) => /^[a-z]+$/.test(word))
}

/** What the service runs with: a value for each row, under the row's name. */
export type Config = {
  readonly [K in keyof typeof options]: ReturnType<(typeof options)[K]['parse']>
}

/** The name of an option's environment variable. */
export function variableOf({ flag }: Option): string {
  return flag.toUpperCase().replaceAll('-', '_')
}

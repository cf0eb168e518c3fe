/** What people say of mmap, as experiments: each claim with what is run, what is shown, and what would make it true. */
import { cpuOf, p99Of, rateOf } from './statistics.ts'
import type { Trial } from './trial.ts'

/** What is read off a trial. */
export interface Measure {
  readonly title: string
  readonly pick: (trial: Trial) => number | undefined
}

/** What the counters of a server or of the machine saw, which is with the warm-up. */
const perSecond = (count: number | undefined, { result }: Trial) =>
  count === undefined ? undefined : count / result.secondsWithWarmUp
const megabytes = (bytes: number | undefined) => (bytes === undefined ? undefined : bytes / 1e6)

export const measures = {
  requests: { title: 'requests per second', pick: rateOf },
  p99: { title: 'ms that 99 of 100 answers took at most', pick: p99Of },
  cpu: { title: 'µs of CPU time of the server for each request', pick: cpuOf },
  private: {
    title: 'MB of private memory (anonymous) at the end',
    pick: ({ used }) => megabytes(used.anonymousMemoryLevel)
  },
  pagesOfEach: {
    title:
      'MB of file pages mapped, with those of the program, by each process for itself (RssFile)',
    pick: ({ used }) => megabytes(used.fileMemoryLevel)
  },
  pagesOfAll: {
    title: 'MB of the same, shared pages counted once (Pss_File)',
    pick: ({ used }) => megabytes(used.proportionalFileMemoryLevel)
  },
  shootdowns: {
    title: 'TLB shootdowns a second, of the whole machine',
    pick: (trial) => perSecond(trial.used.tlbShootdowns, trial)
  },
  faults: {
    title: 'major page faults a second',
    pick: (trial) => perSecond(trial.used.majorFaults, trial)
  },
  minorFaults: {
    title: 'minor page faults a second',
    pick: (trial) => perSecond(trial.used.minorFaults, trial)
  },
  diskReads: {
    title: 'bytes read from the disk for each byte that was answered',
    pick: ({ used, result }) =>
      used.blockInputBytes === undefined ? undefined : used.blockInputBytes / result.bytesWithWarmUp
  }
} as const satisfies Record<string, Measure>

/** Two modes, or two measures of one, compared in one scenario. */
export interface Question {
  readonly scenario: string
  readonly first: string
  readonly second: string
  readonly measure: keyof typeof measures
  /** undefined: the same */
  readonly secondMeasure?: keyof typeof measures
  /** the sentence, with `{ratio}` */
  readonly says: string
  /** of the ratio, where the claim is true; undefined: it is told and no verdict */
  readonly expects?: 'more' | 'less'
}

export interface Claim {
  readonly name: string
  readonly title: string
  readonly claim: string
  readonly scenarios: readonly string[]
  /** those that are not installed are left out */
  readonly modes: readonly string[]
  readonly shown: readonly (keyof typeof measures)[]
  /** requests, faults and shootdowns over the time of the first round */
  readonly hasTimeline?: true
  readonly questions: readonly Question[]
  /** this mode is said to die by this signal */
  readonly dies?: { readonly mode: string; readonly signal: NodeJS.Signals }
  /** what this service does about it */
  readonly remedy: string
}

const cpuSays = (first: string, second: string) =>
  `${first} takes {ratio} the CPU time of ${second} for each request`
const requestsSay = (first: string, second: string) =>
  `${first} answers {ratio} the requests of ${second}`
const cpu = (scenario: string, first: string, second: string, expects?: 'more' | 'less') =>
  question('cpu', cpuSays, scenario, first, second, expects)
const requests = (scenario: string, first: string, second: string, expects?: 'more' | 'less') =>
  question('requests', requestsSay, scenario, first, second, expects)

function question(
  measure: keyof typeof measures,
  says: (first: string, second: string) => string,
  scenario: string,
  first: string,
  second: string,
  expects: 'more' | 'less' | undefined
): Question {
  const base = { scenario, first, second, measure, says: says(first, second) }
  return expects === undefined ? base : { ...base, expects }
}

/** In the order of the page: what speaks for mappings, then what speaks against them. */
export const claims: readonly Claim[] = [
  {
    name: 'zero-copy',
    title: 'Zero copy',
    claim:
      'A mapped file is sent without a copy into user space, so each answer takes less CPU time than with read(2).',
    scenarios: ['hot-4k', 'hot-64k'],
    modes: ['mmap', 'read', 'nginx'],
    shown: ['cpu', 'requests'],
    questions: [
      cpu('hot-4k', 'mmap', 'read', 'less'),
      cpu('hot-64k', 'mmap', 'read', 'less'),
      cpu('hot-64k', 'mmap', 'nginx')
    ],
    remedy:
      'One copy is left: write(2) copies from the mapping into the socket; read(2) makes a second one. sendfile(2) makes none (nginx), and sends what was rewritten meanwhile under the old validator. So this service hands mapped bytes to the socket and goes no further.'
  },
  {
    name: 'sharing',
    title: 'Sharing between processes',
    claim: 'Processes that map the same file share its pages: memory is not used twice.',
    scenarios: ['workers'],
    modes: ['mmap', 'read'],
    shown: ['pagesOfEach', 'pagesOfAll', 'private'],
    questions: [
      {
        scenario: 'workers',
        first: 'mmap',
        second: 'mmap',
        measure: 'pagesOfEach',
        secondMeasure: 'pagesOfAll',
        says: 'two processes see together {ratio} the file pages that they occupy',
        expects: 'more'
      },
      {
        scenario: 'workers',
        first: 'mmap',
        second: 'read',
        measure: 'private',
        says: 'two processes of mmap have {ratio} the private memory of two of read'
      }
    ],
    remedy:
      'The workers share the page cache in both modes: read(2) copies out of the same pages. A mapping spares only the buffers, which are private to each process and bounded by --max-buffered-bytes.'
  },
  {
    name: 'memory',
    title: 'Less user-space memory',
    claim: 'Without buffers for what is read, a process needs less memory of its own.',
    scenarios: ['hot-1m'],
    modes: ['mmap', 'read'],
    shown: ['private'],
    questions: [
      {
        scenario: 'hot-1m',
        first: 'mmap',
        second: 'read',
        measure: 'private',
        says: 'mmap has {ratio} the private memory of read',
        expects: 'less'
      }
    ],
    remedy:
      'Buffers are used again and bounded by --max-buffered-bytes for the whole process, in both modes: a slow client costs one window, and not its whole range.'
  },
  {
    name: 'stalls',
    title: 'Stalls by page faults',
    claim:
      'A page that is not in memory stops the thread that touches it. In a server with an event loop all connections wait for the disk.',
    scenarios: ['stall'],
    modes: ['mmap', 'mmap-unguarded', 'textbook', 'read'],
    shown: ['p99', 'faults'],
    questions: [
      question(
        'p99',
        (a, b) => `99 % of the hot answers of ${a} take {ratio} as long as those of ${b}`,
        'stall',
        'mmap-unguarded',
        'read',
        'more'
      ),
      question(
        'p99',
        (a, b) => `99 % of the hot answers of ${a} take {ratio} as long as those of ${b}`,
        'stall',
        'mmap',
        'read',
        undefined
      )
    ],
    remedy:
      'The guard (--guard on, the default): before a window is sent from a mapping the kernel is asked whether it is in memory. If not, the thread pool reads it, and the event loop goes on.'
  },
  {
    name: 'truncation',
    title: 'SIGBUS on truncation',
    claim:
      'When a file becomes shorter, whoever reads the mapping behind its new end gets SIGBUS and dies.',
    scenarios: ['truncate'],
    modes: ['mmap', 'read', 'textbook', 'textbook-checksum'],
    shown: ['requests'],
    questions: [],
    dies: { mode: 'textbook-checksum', signal: 'SIGBUS' },
    remedy:
      'No byte of a mapping is read in user space. The kernel reads it in write(2), where a missing page is the error EFAULT: that connection is cut, the log says why, and the process goes on. That is why textbook, which only sends, lives too; a checksum, a compression or a search over a mapping kills it. Requests behind the new end fail in every mode (416).'
  },
  {
    name: 'churn',
    title: 'Mapping churn and TLB shootdowns',
    claim:
      'To map and unmap for each request costs page faults again and again, and an interrupt on every CPU that runs a thread of the process (TLB shootdown).',
    scenarios: ['any-cpu'],
    modes: ['mmap', 'textbook', 'textbook-each', 'read'],
    shown: ['cpu', 'minorFaults', 'shootdowns'],
    questions: [
      cpu('any-cpu', 'textbook-each', 'textbook', 'more'),
      question(
        'shootdowns',
        (a, b) => `the machine has with ${a} {ratio} the TLB shootdowns of ${b}`,
        'any-cpu',
        'textbook-each',
        'textbook',
        'more'
      ),
      cpu('any-cpu', 'mmap', 'read')
    ],
    remedy:
      'Regions of 256 MiB live as long as they are used; only --max-mapped-bytes, a deleted or a replaced file lets one go. Small files that are asked for once are copied, not mapped.'
  },
  {
    name: 'fast-drives',
    title: 'Fast drives',
    claim:
      'On a fast drive page faults, one at a time on each thread, cannot keep the drive busy; reads in parallel can.',
    scenarios: ['cold-64k'],
    modes: ['mmap', 'mmap-unguarded', 'textbook-random', 'read'],
    shown: ['requests', 'faults', 'diskReads'],
    questions: [
      requests('cold-64k', 'mmap-unguarded', 'read', 'less'),
      requests('cold-64k', 'textbook-random', 'read', 'less'),
      requests('cold-64k', 'mmap', 'read')
    ],
    remedy:
      'Cold windows are read by many threads at once, and the next windows of a long range are announced (posix_fadvise), so the drive has a queue to work on. A page fault reads as much as the readahead of the device says (below): where that is megabytes, few faults bring a whole file; textbook-random shows faults without it.'
  },
  {
    name: 'eviction',
    title: 'Data outgrows memory',
    claim:
      'As soon as data is larger than memory and pages must be evicted, mappings collapse, while reads go on.',
    scenarios: ['larger-than-memory'],
    modes: ['mmap', 'mmap-unguarded', 'read', 'nginx'],
    shown: ['requests', 'p99', 'faults'],
    hasTimeline: true,
    questions: [
      requests('larger-than-memory', 'mmap-unguarded', 'read', 'less'),
      requests('larger-than-memory', 'mmap', 'read')
    ],
    remedy:
      'With the guard most windows are cold then, and cold windows are reads: the service behaves like --mode read. What must stay can be pinned (--pin); how much memory is enough, advise shows from a log.'
  },
  {
    name: 'random',
    title: 'Random reads, cache filling and full',
    claim:
      'Crotty, Leis and Pavlo, “Are You Sure You Want to Use MMAP in Your Database Management System?” (CIDR 2022): random reads from a mapping are about as fast as reads while the page cache fills, and fall behind when it is full, with TLB shootdowns beside them.',
    scenarios: ['cold-64k', 'larger-than-memory'],
    modes: ['textbook', 'textbook-random', 'read'],
    shown: ['requests', 'faults'],
    hasTimeline: true,
    questions: [
      requests('cold-64k', 'textbook', 'read'),
      requests('cold-64k', 'textbook-random', 'read'),
      requests('larger-than-memory', 'textbook', 'read', 'less'),
      requests('larger-than-memory', 'textbook-random', 'read', 'less')
    ],
    remedy:
      'The guard keeps mappings away from pages that are not there, whether the cache fills or is full: they are read, with as many threads as wait.'
  },
  {
    name: 'scans',
    title: 'Sequential scans, cache filling and full',
    claim:
      'The same paper: a sequential scan of a mapping is about as fast as reads until the page cache is full, and falls behind then, because one thread faults, and evicts, page after page.',
    scenarios: ['scan', 'scan-larger'],
    modes: ['textbook', 'textbook-sequential', 'read'],
    shown: ['requests', 'faults'],
    hasTimeline: true,
    questions: [
      requests('scan', 'textbook', 'read'),
      requests('scan-larger', 'textbook', 'read', 'less'),
      requests('scan-larger', 'textbook-sequential', 'read', 'less')
    ],
    remedy:
      'A long range is announced window by window (posix_fadvise), and read where it is not there yet. One scan over one connection; what it costs others is under “Stalls by page faults”.'
  },
  {
    name: 'wrong-advice',
    title: 'Wrong advice to the kernel',
    claim:
      'madvise(2) can make things worse: MADV_RANDOM turns readahead off, which ruins scans; MADV_WILLNEED reads everything, also what nobody asks for.',
    scenarios: ['scan', 'larger-than-memory'],
    modes: ['textbook', 'textbook-random', 'textbook-willneed'],
    shown: ['requests', 'diskReads'],
    questions: [
      requests('scan', 'textbook-random', 'textbook', 'less'),
      requests('larger-than-memory', 'textbook-willneed', 'textbook', 'less'),
      requests('larger-than-memory', 'textbook-random', 'textbook')
    ],
    remedy:
      'No advice for a whole mapping. In guarded mode the kernel’s guesses are off, and exactly the next windows of a range that is being sent are announced.'
  }
]

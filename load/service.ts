/** Servers as processes of their own, one for each trial, and the load as another. */
import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import type { Job, LoadResult } from './generator.ts'
import type { MemoryLimit } from './memory-limit.ts'
import { startPeer } from './peers.ts'

/** What is compared. */
export interface Mode {
  readonly name: string
  readonly says: string
  /** arguments of the service; undefined for what is not the service */
  readonly args?: readonly string[]
  /** of a server that runs already */
  readonly url?: string
}

export const ownModes: readonly Mode[] = [
  { name: 'mmap', says: 'from mappings, guarded', args: ['--mode', 'mmap'] },
  {
    name: 'mmap-unguarded',
    says: 'from mappings, the textbook way',
    args: ['--mode', 'mmap', '--guard', 'off']
  },
  { name: 'read', says: 'fs.read into buffers', args: ['--mode', 'read'] }
]

export interface Server {
  /** of the file that is measured and, as its base, of those beside it; ends with a slash */
  readonly filesUrl: string
  /** of the service's metrics; undefined: it has none */
  readonly metricsUrl: string | undefined
  /** undefined: it was not started here */
  readonly pid: number | undefined
  stop(): Promise<void>
}

const running = new Set<ChildProcess>()
let isEnding = false

/** Ends every process that was started here. */
export function killAll(): void {
  isEnding = true
  for (const child of running) {
    // a server with processes of its own is the leader of a group
    try {
      process.kill(-(child.pid as number), 'SIGKILL')
    } catch {
      child.kill('SIGKILL')
    }
  }
}

const cpus = allowedCpus()
const isPinned = cpus.length > 1 && fs.existsSync('/usr/bin/taskset')
/** How the processes are kept apart, for the report. */
export const pinning = isPinned
  ? `server on CPU ${cpus[0]}, load on CPU ${cpus[1]}`
  : 'server and load on whichever CPU'

/** @see proc_pid_status(5), Cpus_allowed_list */
function allowedCpus(): number[] {
  const list = /^Cpus_allowed_list:\s*(.+)$/m.exec(fs.readFileSync('/proc/self/status', 'utf8'))
  return (list?.[1] ?? '0').split(',').flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
}

export interface Launch {
  readonly command: readonly [string, ...string[]]
  /** on the servers' CPU; otherwise wherever there is room */
  readonly isPinned: boolean
  readonly limit?: MemoryLimit | undefined
  /** where it may leave files of its own; undefined: it leaves none */
  readonly home?: string
}

/** @returns the process, which leads a group of its own */
export function launch({ command, isPinned: wantsPin, limit, home }: Launch): ChildProcess {
  // into the cgroup before it takes any memory
  const limited = limit === undefined ? [] : ['sh', '-c', 'echo $$ > "$0" && exec "$@"', limit.file]
  const pinned = isPinned && wantsPin ? ['taskset', '-c', `${cpus[0]}`] : []
  const [program, ...args] = [...limited, ...pinned, ...command] as [string, ...string[]]
  const env =
    home === undefined ? process.env : { ...process.env, HOME: home, XDG_CONFIG_HOME: home }
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'], detached: true, env })
  watch(child)
  return child
}

function watch(child: ChildProcess): void {
  running.add(child)
  child.once('exit', () => running.delete(child))
  // a program that cannot be started is told of by whoever waits for it
  child.once('error', () => running.delete(child))
  if (isEnding) killAll()
}

/** @returns what ends the process and waits for that */
export function stopper(child: ChildProcess): () => Promise<void> {
  return async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    const tooLong = setTimeout(() => child.kill('SIGKILL'), 15_000)
    await exited
    clearTimeout(tooLong)
  }
}

export interface Start {
  readonly root: string
  readonly workers: number | undefined
  readonly limit: MemoryLimit | undefined
}

/** @throws Error when the server does not come up */
export async function startServer(mode: Mode, start: Start): Promise<Server> {
  if (mode.url !== undefined) return alreadyRunning(mode.url)
  if (mode.args === undefined) return startPeer(mode.name, start)
  const { root, workers = 1, limit } = start
  const main = path.join(__dirname, '..', 'main.js')
  const args = ['--root', root, '--port', '0', '--ops-port', '0', '--workers', `${workers}`]
  const child = launch({
    command: [process.execPath, main, ...args, ...mode.args],
    isPinned: workers === 1,
    limit
  })
  if (child.stdout === null) throw new Error('a pipe is always made')
  for await (const line of readline.createInterface({ input: child.stdout })) {
    const record = logRecord(line)
    if (record?.msg !== 'listening') continue
    // the rest of the log is read, so that a full pipe does not stop the service, and not shown
    child.stdout.resume()
    return {
      filesUrl: record.url,
      metricsUrl: `${record.opsUrl}/metrics`,
      pid: child.pid,
      stop: stopper(child)
    }
  }
  throw new Error(`the service (${mode.name}) ended before it listened`)
}

function logRecord(line: string): { msg: string; url: string; opsUrl: string } | undefined {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

async function alreadyRunning(url: string): Promise<Server> {
  const metricsUrl = new URL('/metrics', url).href
  const isOurs = await fetch(metricsUrl, { signal: AbortSignal.timeout(2000) })
    .then(async (answer) => answer.ok && (await answer.text()).includes('range_server_info'))
    .catch(() => false)
  return {
    filesUrl: new URL('.', url).href,
    metricsUrl: isOurs ? metricsUrl : undefined,
    pid: undefined,
    stop: async () => {}
  }
}

/** One load, from its own process. @throws Error when it could not be run */
export function generate(job: Job): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const pinned = isPinned ? ['taskset', '-c', `${cpus[1]}`] : []
    const command = [...pinned, process.execPath, path.join(__dirname, 'generator.js')]
    const [program, ...args] = command as [string, ...string[]]
    const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    watch(child)
    child.once('message', ({ result, error }: { result?: LoadResult; error?: string }) => {
      if (result === undefined) reject(new Error(`the load failed: ${error}`))
      else resolve(result)
    })
    child.once('error', reject)
    child.once('exit', (code, signal) =>
      reject(new Error(`the load generator ended early (${code ?? signal})`))
    )
    child.send(job)
  })
}

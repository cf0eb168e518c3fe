/** The processes of a run: servers and loads, each on its CPU, all ended when the run ends. */
import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import type { MemoryLimit } from './memory-limit.ts'

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

/** @returns the process of a server, which leads a group of its own */
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

/** @returns the process of a module that is told its work by a message; on the CPU of the loads */
export function launchLoad(module: string): ChildProcess {
  const [program, ...args] = onLoadCpu([process.execPath, module])
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  watch(child)
  return child
}

/** @returns the command that runs another on the CPU of the loads */
export function onLoadCpu(command: readonly [string, ...string[]]): [string, ...string[]] {
  return isPinned ? ['taskset', '-c', `${cpus[1]}`, ...command] : [...command]
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

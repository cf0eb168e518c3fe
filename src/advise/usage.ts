/** What a server has used, seen from outside: /proc for all of them, and our own metrics. */
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import { promisify } from 'node:util'
import type { Server } from './modes.ts'

/** Undefined: this server does not tell. What ends with MemoryBytes or Seconds of delay is a level, the rest grows. */
export interface Usage {
  readonly userCpuSeconds?: number | undefined
  readonly systemCpuSeconds?: number | undefined
  readonly minorFaults?: number | undefined
  readonly majorFaults?: number | undefined
  readonly eventLoopMinorFaults?: number | undefined
  readonly eventLoopMajorFaults?: number | undefined
  readonly blockInputBytes?: number | undefined
  readonly contextSwitches?: number | undefined
  /** of the whole machine */
  readonly tlbShootdowns?: number | undefined
  readonly mappedBodyBytes?: number | undefined
  readonly readBodyBytes?: number | undefined
  readonly eventLoopDelayP99Level?: number | undefined
  readonly eventLoopDelayMaxLevel?: number | undefined
  readonly anonymousMemoryLevel?: number | undefined
  readonly fileMemoryLevel?: number | undefined
  /** of pages that several processes map, each counts its part */
  readonly proportionalFileMemoryLevel?: number | undefined
}

/** Units are in the names; levels: seconds of delay, bytes of memory. */
export async function usageOf({ metricsUrl, pid }: Server): Promise<Usage> {
  return {
    ...(pid === undefined
      ? {}
      : {
          ...processUsage(pid),
          tlbShootdowns: tlbShootdowns(),
          proportionalFileMemoryLevel: proportionalFileMemory(pid)
        }),
    ...(metricsUrl === undefined ? {} : metricsUsage(await text(metricsUrl), pid === undefined))
  }
}

/** What grew between the two; levels are as at the end. */
export function difference(before: Usage, after: Usage): Usage {
  const entries = Object.entries(after).map(([name, value]) => {
    const earlier = before[name as keyof Usage]
    const isLevel = name.endsWith('Level')
    return [name, isLevel || value === undefined ? value : value - (earlier ?? 0)]
  })
  return Object.fromEntries(entries)
}

const clockTicksPerSecond = 100 // sysconf(_SC_CLK_TCK) of Linux, on every architecture that Node runs on

/** The process and its descendants. @see proc_pid_stat(5), proc_pid_io(5), proc_pid_status(5) */
export function processUsage(
  pid: number
): Usage & { majorFaults: number; blockInputBytes: number } {
  const sum = {
    userCpuSeconds: 0,
    systemCpuSeconds: 0,
    minorFaults: 0,
    majorFaults: 0,
    blockInputBytes: 0,
    contextSwitches: 0,
    anonymousMemoryLevel: 0,
    fileMemoryLevel: 0
  }
  for (const each of withDescendants(pid)) {
    try {
      const stat = fs.readFileSync(`/proc/${each}/stat`, 'latin1')
      // the name, in parentheses, may have spaces
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      const status = fs.readFileSync(`/proc/${each}/status`, 'latin1')
      const io = fs.readFileSync(`/proc/${each}/io`, 'latin1')
      sum.minorFaults += Number(fields[7])
      sum.majorFaults += Number(fields[9])
      sum.userCpuSeconds += Number(fields[11]) / clockTicksPerSecond
      sum.systemCpuSeconds += Number(fields[12]) / clockTicksPerSecond
      sum.blockInputBytes += numberAfter(io, 'read_bytes')
      sum.contextSwitches +=
        numberAfter(status, 'voluntary_ctxt_switches') +
        numberAfter(status, 'nonvoluntary_ctxt_switches')
      sum.anonymousMemoryLevel += numberAfter(status, 'RssAnon') * 1024
      sum.fileMemoryLevel += numberAfter(status, 'RssFile') * 1024
    } catch {
      // it ended meanwhile
    }
  }
  return sum
}

/** Walks all page tables, so not for a timeline. @see proc_pid_smaps(5), smaps_rollup */
function proportionalFileMemory(pid: number): number | undefined {
  try {
    return withDescendants(pid).reduce((sum, each) => {
      const rollup = fs.readFileSync(`/proc/${each}/smaps_rollup`, 'latin1')
      return sum + numberAfter(rollup, 'Pss_File') * 1024
    }, 0)
  } catch {
    return undefined
  }
}

function withDescendants(pid: number): number[] {
  try {
    const children = fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
    return [pid, ...children.split(' ').filter(Boolean).map(Number).flatMap(withDescendants)]
  } catch {
    return [pid]
  }
}

function numberAfter(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0)
}

/** Of all CPUs. @see proc_interrupts(5) */
export function tlbShootdowns(): number | undefined {
  const line = /^\s*TLB:((?:\s+\d+)+)/m.exec(fs.readFileSync('/proc/interrupts', 'latin1'))
  return line?.[1]
    ?.trim()
    .split(/\s+/)
    .reduce((sum, count) => sum + Number(count), 0)
}

async function text(url: string): Promise<string> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(10_000) })
  return answer.text()
}

function metricsUsage(metrics: string, isOnlySource: boolean): Usage {
  const metric = (sample: string): number | undefined => {
    const line = metrics.split('\n').find((each) => each.startsWith(`${sample} `))
    return line === undefined ? undefined : Number(line.slice(sample.length))
  }
  const own = {
    eventLoopMinorFaults: metric('event_loop_page_faults_total{kind="minor"}'),
    eventLoopMajorFaults: metric('event_loop_page_faults_total{kind="major"}'),
    mappedBodyBytes: metric('http_response_body_bytes_total{source="mapped"}'),
    readBodyBytes: metric('http_response_body_bytes_total{source="read"}'),
    eventLoopDelayP99Level: metric('nodejs_eventloop_lag_p99_seconds'),
    eventLoopDelayMaxLevel: metric('nodejs_eventloop_lag_max_seconds')
  }
  if (!isOnlySource) return own
  return {
    ...own,
    userCpuSeconds: metric('process_cpu_user_seconds_total'),
    systemCpuSeconds: metric('process_cpu_system_seconds_total'),
    minorFaults: metric('process_page_faults_total{kind="minor"}'),
    majorFaults: metric('process_page_faults_total{kind="major"}'),
    blockInputBytes: metric('process_block_input_bytes_total')
  }
}

/** The share of a file that is in memory, asked from the kernel; undefined: it cannot be known here. @see fincore(1) */
export async function residentShare(...files: readonly string[]): Promise<number | undefined> {
  try {
    const args = ['--bytes', '--noheadings', '--output', 'RES,SIZE', ...files]
    const { stdout } = await promisify(execFile)('fincore', args, { maxBuffer: 2 ** 24 })
    let [resident, size] = [0, 0]
    for (const line of stdout.trim().split('\n')) {
      const [pages = Number.NaN, bytes = Number.NaN] = line.trim().split(/\s+/).map(Number)
      resident += pages
      size += bytes
    }
    return Number.isFinite(resident / size) ? resident / size : undefined
  } catch {
    return undefined
  }
}

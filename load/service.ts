/** The service as a process of its own, one for each trial, and what can be seen of it from outside. */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import readline from 'node:readline'
import type { Job, LoadResult } from './generator.ts'

export interface Mode {
  readonly name: string
  readonly args: readonly string[]
}

export const modes: readonly Mode[] = [
  { name: 'mmap', args: ['--mode', 'mmap'] },
  { name: 'mmap-unguarded', args: ['--mode', 'mmap', '--guard', 'off'] },
  { name: 'read', args: ['--mode', 'read'] }
]

/** The service on one core and the load on another, where there are two; undefined: not pinned. */
const isPinned = os.cpus().length > 1 && fs.existsSync('/usr/bin/taskset')
export const pinning = isPinned ? 'service on CPU 0, load on CPU 1' : 'not pinned'

function pin(cpu: number, pid: number | undefined): void {
  if (isPinned && pid !== undefined)
    spawn('taskset', ['-acp', `${cpu}`, `${pid}`], { stdio: 'ignore' })
}

const running = new Set<ChildProcess>()

/** Ends every process that was started here. */
export function killAll(): void {
  for (const child of running) child.kill('SIGKILL')
}

function watch(child: ChildProcess): void {
  running.add(child)
  child.once('exit', () => running.delete(child))
}

export interface Service {
  readonly filesUrl: string
  readonly opsUrl: string
  readonly pid: number
  stop(): Promise<void>
}

/** @throws Error when the service does not come up */
export async function startService(mode: Mode, root: string): Promise<Service> {
  const main = path.join(__dirname, '..', 'main.js')
  const args = [main, '--root', root, '--port', '0', '--ops-port', '0', '--log-level', 'info']
  const child = spawn(process.execPath, [...args, ...mode.args], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  watch(child)
  pin(0, child.pid)
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  for await (const line of readline.createInterface({ input: child.stdout })) {
    const record = JSON.parse(line) as { msg?: string; url?: string; opsUrl?: string }
    if (record.msg !== 'listening') continue
    // the rest of the log is read, so that a full pipe does not stop the service, and not shown
    child.stdout.resume()
    return {
      filesUrl: record.url as string,
      opsUrl: record.opsUrl as string,
      pid: child.pid as number,
      async stop() {
        child.kill('SIGTERM')
        await exited
      }
    }
  }
  throw new Error(`the service (${mode.name}) ended before it listened`)
}

/** One load, from its own process. @throws Error when it could not be run */
export function generate(job: Job): Promise<LoadResult> {
  return new Promise((resolve, reject) => {
    const child = fork(path.join(__dirname, 'generator.js'))
    watch(child)
    pin(1, child.pid)
    child.once('message', ({ result, error }: { result?: LoadResult; error?: string }) => {
      if (result === undefined) reject(new Error(`the load failed: ${error}`))
      else resolve(result)
    })
    child.once('exit', (code, signal) =>
      reject(new Error(`the load generator ended early (${code ?? signal})`))
    )
    child.send(job)
  })
}

/** Numbers that only grow, at one moment; two of them make a trial's. */
export interface Snapshot {
  readonly userCpuSeconds: number
  readonly systemCpuSeconds: number
  readonly minorFaults: number
  readonly majorFaults: number
  readonly eventLoopMinorFaults: number
  readonly eventLoopMajorFaults: number
  readonly blockInputBytes: number
  readonly mappedBodyBytes: number
  readonly readBodyBytes: number
  readonly contextSwitches: number
  readonly anonymousMemoryBytes: number
  readonly fileMemoryBytes: number
}

export async function snapshot({ opsUrl, pid }: Service): Promise<Snapshot> {
  const text = await (await fetch(`${opsUrl}/metrics`)).text()
  const metric = (sample: string) => {
    const line = text.split('\n').find((each) => each.startsWith(`${sample} `))
    if (line === undefined) throw new Error(`the service has no metric ${sample}`)
    return Number(line.slice(sample.length))
  }
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8')
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1])
  return {
    userCpuSeconds: metric('process_cpu_user_seconds_total'),
    systemCpuSeconds: metric('process_cpu_system_seconds_total'),
    minorFaults: metric('process_page_faults_total{kind="minor"}'),
    majorFaults: metric('process_page_faults_total{kind="major"}'),
    eventLoopMinorFaults: metric('event_loop_page_faults_total{kind="minor"}'),
    eventLoopMajorFaults: metric('event_loop_page_faults_total{kind="major"}'),
    blockInputBytes: metric('process_block_input_bytes_total'),
    mappedBodyBytes: metric('http_response_body_bytes_total{source="mapped"}'),
    readBodyBytes: metric('http_response_body_bytes_total{source="read"}'),
    contextSwitches: field('voluntary_ctxt_switches') + field('nonvoluntary_ctxt_switches'),
    anonymousMemoryBytes: field('RssAnon') * 1024,
    fileMemoryBytes: field('RssFile') * 1024
  }
}

/** The resident share of a file, as the service's own ops port tells; undefined: the kernel is not believed. */
export async function residentShare(
  { opsUrl }: Service,
  name: string
): Promise<number | undefined> {
  const answer = await (
    await fetch(`${opsUrl}/residency/${encodeURIComponent(name)}?cells=1`)
  ).json()
  const { trusted, residentBytes, size } = answer as {
    trusted: boolean
    residentBytes: number
    size: number
  }
  return trusted ? residentBytes / size : undefined
}

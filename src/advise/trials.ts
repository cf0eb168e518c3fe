/** Measuring the modes on the user's files: a server for each trial, and the same requests for all. */
import fs from 'node:fs'
import path from 'node:path'
import { dropFromMemory, readAll } from './cache.ts'
import { residentShare, type ServedFolder } from './files.ts'
import type { Figures } from './judge.ts'
import { limitMemory } from './memory-limit.ts'
import type { Mode, Server, Start } from './modes.ts'
import { hasThreads, nginxCommand, programOnPath, startOther } from './nginx.ts'
import { launchLoad } from './processes.ts'
import type { ReplayJob, ReplayResult } from './replay.ts'
import { ownModes, startService } from './service.ts'
import { difference, usageOf } from './usage.ts'

/** What of the files is in memory when a trial begins. */
export type State = 'in memory' | 'cold'

export interface AdviseTrial extends Figures {
  readonly mode: string
  readonly state: State
  readonly megabytesPerSecond: number
  readonly p50Ms: number
  readonly maxMs: number
  readonly majorFaults: number | undefined
  readonly failures: number
  /** of all files, before and after; undefined: the kernel does not tell this user */
  readonly residentShareBefore: number | undefined
  readonly residentShareAfter: number | undefined
}

export interface TrialPlan {
  readonly files: readonly string[]
  readonly folder: ServedFolder
  readonly requests: ReplayJob['requests']
  readonly connections: number
  readonly seconds: number
  /** of the server of cold trials; undefined: none */
  readonly limitBytes: number | undefined
}

/** The way that nginx promises what this service does: what was sent is a copy. With threads where it has them. */
const nginx: Mode = { name: 'nginx', says: 'nginx, sendfile off, aio threads where it has them' }

/** `mmap` first; nginx where it is installed. */
export function advisedModes(): readonly Mode[] {
  return programOnPath('nginx') === undefined ? ownModes : [...ownModes, nginx]
}

/**
 * @throws LeftOut when the mode or the memory limit cannot be had here
 * @throws Error in words for the user
 */
export async function runTrial(
  mode: Mode,
  state: State,
  round: number,
  plan: TrialPlan
): Promise<AdviseTrial> {
  const { files, folder, requests, connections, seconds } = plan
  // before the server starts: pages that are mapped cannot be dropped
  for (const file of files) await (state === 'cold' ? dropFromMemory(file) : readAll(file))
  const residentShareBefore = await residentShareOf(files)
  const limit =
    state === 'cold' && plan.limitBytes !== undefined
      ? limitMemory(plan.limitBytes, state)
      : undefined
  let server: Server | undefined
  try {
    server = await startMode(mode, { root: folder.root, workers: undefined, limit })
    const { pathname: base, port } = new URL(server.filesUrl)
    let before = await usageOf(server)
    const job = {
      port: Number(port),
      targets: folder.names.map((name) => base + encodeURIComponent(name)),
      requests,
      connections,
      seconds,
      isCold: state === 'cold'
    }
    const current = server
    const result = await replayInProcess(job, async () => {
      before = await usageOf(current)
    })
    const used = difference(before, await usageOf(server))
    const cpuSeconds =
      used.userCpuSeconds === undefined || used.systemCpuSeconds === undefined
        ? undefined
        : used.userCpuSeconds + used.systemCpuSeconds
    return {
      mode: mode.name,
      state,
      round,
      requestsPerSecond: result.requests / result.seconds,
      megabytesPerSecond: result.bytes / result.seconds / 1e6,
      p50Ms: result.p50Ms,
      p99Ms: result.requests === 0 ? Number.NaN : result.p99Ms,
      maxMs: result.maxMs,
      cpuMicroseconds:
        cpuSeconds === undefined
          ? undefined
          : (cpuSeconds * 1e6) / Math.max(1, result.requestsWithWarmUp),
      generatorCpuShare: result.generatorCpuShare,
      majorFaults: used.majorFaults,
      failures: result.failures,
      residentShareBefore,
      residentShareAfter: await residentShareOf(files)
    }
  } finally {
    await server?.stop()
    limit?.remove()
  }
}

function startMode(mode: Mode, start: Start): Promise<Server> {
  if (mode.args !== undefined) return startService(mode.name, mode.args, start)
  const aio = hasThreads() ? 'threads' : 'off'
  return startOther(mode.name, start, (place) => nginxCommand(place, { sendfile: 'off', aio }))
}

/** What the process that replays sends: that the warm-up is over, and at the end one of the others. */
interface Message {
  readonly isWarm?: true
  readonly result?: ReplayResult
  readonly error?: string
}

/** @param onWarm runs between a warm-up that spares the files and what is measured */
function replayInProcess(job: ReplayJob, onWarm: () => Promise<void>): Promise<ReplayResult> {
  return new Promise((resolve, reject) => {
    const child = launchLoad(path.join(__dirname, 'replayer.js'))
    child.on('message', ({ isWarm, result, error }: Message) => {
      if (isWarm) onWarm().then(() => child.send('go'), reject)
      else if (result === undefined) reject(new Error(`the replay failed: ${error}`))
      else resolve(result)
    })
    child.once('error', reject)
    child.once('exit', (code, signal) =>
      reject(new Error(`the replay ended early (${code ?? signal})`))
    )
    child.send(job)
  })
}

/** Mean over the bytes of all files. */
async function residentShareOf(files: readonly string[]): Promise<number | undefined> {
  let [resident, all] = [0, 0]
  for (const file of files) {
    const share = await residentShare(file)
    if (share === undefined) return undefined
    const { size } = fs.statSync(file)
    resident += share * size
    all += size
  }
  return resident / all
}

/** One trial: state made and proved, a server, a load, and what it took. */
import fs from 'node:fs'
import path from 'node:path'
import { smallFile } from '#src/advise/access.ts'
import { dropFromMemory, readAll } from '#src/advise/cache.ts'
import { limitMemory } from '#src/advise/memory-limit.ts'
import type { Mode, Server } from '#src/advise/modes.ts'
import {
  difference,
  processUsage,
  residentShare,
  tlbShootdowns,
  type Usage,
  usageOf
} from '#src/advise/usage.ts'
import { type Data, fileOf, filesOf, makeShrinking, nameOf } from './data.ts'
import { generate } from './generate.ts'
import { type Job, type LoadResult, type Progress, timelineMilliseconds } from './job.ts'
import type { Scenario } from './scenarios.ts'
import { startServer } from './servers.ts'

export interface Trial {
  readonly scenario: string
  readonly mode: string
  readonly round: number
  /** before the load began; undefined: it cannot be known, as on another machine */
  readonly residentShareBefore: number | undefined
  readonly backgroundResidentShareBefore: number | undefined
  /** after it ended, of what was to stay in memory; undefined: of what was not, or unknown */
  readonly residentShareAfter: number | undefined
  /** before and after: a machine may reclaim memory by itself meanwhile */
  readonly isStateProved: boolean
  readonly result: LoadResult
  readonly used: Usage
  /** in each period of the timeline, of the server's processes */
  readonly timelineMajorFaults: readonly number[]
  readonly timelineBlockInputBytes: readonly number[]
  /** of the whole machine */
  readonly timelineTlbShootdowns: readonly number[]
  /** whether the server answered afterwards */
  readonly isAliveAfter: boolean
  /** the signal by which the server died */
  readonly signal?: NodeJS.Signals | undefined
}

export interface TrialSettings {
  readonly seconds: number
  readonly seed: number
  readonly round: number
  /** hears of the load while it runs */
  readonly tell?: (progress: Progress) => void
}

/** @throws Error in words for the user, when it cannot be made or run here */
export async function runLocalTrial(
  scenario: Scenario,
  mode: Mode,
  data: Data,
  settings: TrialSettings
): Promise<Trial> {
  const { background, memoryLimitBytes, workers, isUnpinned } = scenario
  const file = fileOf(data, scenario.file)
  const largeFile = fileOf(data, 'large')
  if (scenario.file === 'shrinking') makeShrinking(data)
  // before the server starts: pages that are mapped cannot be dropped
  const files = filesOf(data, scenario.file)
  for (const each of files) {
    if (scenario.cache === 'cold') await dropFromMemory(each)
    else await readAll(each)
  }
  if (scenario.load.isOnce) await readAll(path.join(data.root, data.warmUp.name))
  if (background !== undefined) await dropFromMemory(largeFile)
  const residentShareBefore = await residentShare(...files)
  const backgroundShare = background === undefined ? undefined : await residentShare(largeFile)
  const limit =
    memoryLimitBytes === undefined ? undefined : limitMemory(memoryLimitBytes, scenario.name)
  let server: Server | undefined
  try {
    server = await startServer(mode, {
      root: data.root,
      workers,
      limit,
      ...(isUnpinned ? { isPinned: false } : {})
    })
    const job = {
      url: server.filesUrl + nameOf(scenario.file),
      fileBytes: data.bytes[scenario.file],
      smallFiles: scenario.file === 'small' ? data.smallFiles : undefined,
      // what shrinks cannot be compared with what it is then
      file: scenario.file === 'shrinking' ? undefined : file,
      isSampled: scenario.cache === 'hot' && scenario.file !== 'shrinking',
      load: scenario.load,
      warmUp: scenario.load.isOnce
        ? { url: server.filesUrl + data.warmUp.name, fileBytes: data.warmUp.bytes }
        : undefined,
      seconds: settings.seconds,
      seed: settings.seed + settings.round
    }
    let periods = 0
    const tell = (progress: Progress) => {
      const isHalfway = ++periods === periodsUntilCut(settings.seconds)
      if (isHalfway && scenario.file === 'shrinking') {
        fs.truncateSync(file, data.bytes.shrinking / 2)
      }
      settings.tell?.(progress)
    }
    const besides = {
      ...job,
      url: server.filesUrl + nameOf('large'),
      fileBytes: data.bytes.large,
      smallFiles: undefined,
      isSampled: false
    }
    const { results, ...measured } = await measure(server, (onWarm) =>
      Promise.all([
        generate(job, tell, onWarm),
        ...(background === undefined ? [] : [generate({ ...besides, load: background })])
      ])
    )
    const staysHot = scenario.cache === 'hot' && scenario.file !== 'shrinking'
    const residentShareAfter = staysHot ? await residentShare(...files) : undefined
    const isAsWanted =
      residentShareBefore === (scenario.cache === 'cold' ? 0 : 1) &&
      (!staysHot || residentShareAfter === 1)
    return {
      scenario: scenario.name,
      mode: mode.name,
      round: settings.round,
      residentShareBefore,
      backgroundResidentShareBefore: backgroundShare,
      residentShareAfter,
      isStateProved: isAsWanted && (background === undefined || backgroundShare === 0),
      result: results[0] as LoadResult,
      ...measured,
      isAliveAfter: await answers(job),
      signal: server.signal()
    }
  } finally {
    await server?.stop()
    limit?.remove()
  }
}

/** @throws Error in words for the user */
export async function runRemoteTrial(
  scenario: Scenario,
  mode: Mode,
  target: { readonly fileBytes: number; readonly file: string | undefined },
  settings: TrialSettings
): Promise<Trial> {
  const server = await startServer(mode, { root: '', workers: undefined, limit: undefined })
  const job = {
    url: mode.url as string, // remote modes have one
    ...target,
    smallFiles: undefined,
    isSampled: true,
    load: scenario.load,
    warmUp: undefined,
    seconds: settings.seconds,
    seed: settings.seed + settings.round
  }
  const { results, ...measured } = await measure(server, () => generate(job, settings.tell))
  const isAliveAfter = await answers(job)
  if (!isAliveAfter) throw new Error(`${mode.name} answers no more`)
  return {
    scenario: scenario.name,
    mode: mode.name,
    round: settings.round,
    residentShareBefore: undefined,
    backgroundResidentShareBefore: undefined,
    residentShareAfter: undefined,
    isStateProved: false,
    result: results,
    ...measured,
    isAliveAfter,
    signal: undefined
  }
}

/** After the warm-up of 750 ms, halfway through what is measured. */
function periodsUntilCut(seconds: number): number {
  return Math.round((750 + seconds * 500) / timelineMilliseconds)
}

/** @param load is told what to call between a warm-up on another file and what is measured */
async function measure<T>(server: Server, load: (onWarm: () => Promise<void>) => Promise<T>) {
  const timeline: { majorFaults: number; blockInputBytes: number; tlb: number }[] = []
  const { pid } = server
  let before = await usageOf(server)
  const onWarm = async () => {
    before = await usageOf(server)
    timeline.length = 0
  }
  const timer = setInterval(() => {
    if (pid !== undefined) timeline.push({ ...processUsage(pid), tlb: tlbShootdowns() ?? 0 })
  }, timelineMilliseconds)
  try {
    const results = await load(onWarm)
    const after = await usageOf(server).catch(() => ({}))
    return {
      results,
      // what died leaves no figures
      used: server.signal() === undefined ? difference(before, after) : {},
      timelineMajorFaults: growth(timeline.map(({ majorFaults }) => majorFaults)),
      timelineBlockInputBytes: growth(timeline.map(({ blockInputBytes }) => blockInputBytes)),
      timelineTlbShootdowns: growth(timeline.map(({ tlb }) => tlb))
    }
  } finally {
    clearInterval(timer)
  }
}

function growth(counts: readonly number[]): number[] {
  return counts.slice(1).map((count, index) => count - (counts[index] as number))
}

async function answers({ url, smallFiles }: Pick<Job, 'url' | 'smallFiles'>): Promise<boolean> {
  const headers = { range: 'bytes=0-0' }
  return fetch(smallFiles === undefined ? url : url + smallFile(0), {
    headers,
    signal: AbortSignal.timeout(5000)
  })
    .then(async (answer) => {
      await answer.arrayBuffer()
      return answer.status === 206
    })
    .catch(() => false)
}

/**
 * The size of a file on a server that runs already.
 * @throws Error in words for the user, when it is not there or does not come in ranges
 */
export async function sizeOf({ url = '' }: Mode): Promise<number> {
  const headers = { range: 'bytes=0-0' }
  const answer = await fetch(url, { headers, signal: AbortSignal.timeout(10_000) }).catch(
    (error: Error) => {
      const cause = error.cause as { code?: string } | undefined
      throw new Error(`--url ${url}: no answer (${cause?.code ?? error.name})`)
    }
  )
  await answer.body?.cancel()
  const size = /^bytes 0-0\/(\d+)$/.exec(answer.headers.get('content-range') ?? '')?.[1]
  if (answer.status === 206 && size !== undefined) return Number(size)
  if (answer.status === 200) throw new Error(`--url ${url}: this server does not serve ranges`)
  throw new Error(`--url ${url}: status ${answer.status} instead of 206`)
}

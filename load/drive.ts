/**
 * One load: autocannon drives it, a histogram of microseconds keeps the latencies (autocannon's own has a
 * resolution of a millisecond), and sampled answers are compared with the file.
 */
import autocannon from 'autocannon'
import { build } from 'hdr-histogram-js'
import { headersOf, type Pieces, requests, smallFiles } from '#src/advise/access.ts'
import { dropBodies, forgetAnswer, pace } from './autocannon.ts'
import {
  histogramBounds,
  type Job,
  type LoadResult,
  type Progress,
  shownPercentiles,
  timelineMilliseconds,
  timeoutSeconds
} from './job.ts'
import { startSampler } from './sampler.ts'

// In the first of it the load generator is busy with its own start, and compilers with everybody's code.
const warmUpMs = 750

// requests that each connection goes through, built before the clock starts
const requestsOfAll = 32_000

/**
 * @param tell is called once in each period of the timeline
 * @param warm is awaited between a warm-up on another file and what is measured
 * @throws Error when the load cannot be made; answers that fail are counted
 */
export async function drive(
  job: Job,
  tell: (progress: Progress) => void,
  warm: () => Promise<void>
): Promise<LoadResult> {
  if (job.warmUp === undefined) return run(job, { warmUpMs, tell })
  const { rangeBytes, connections } = job.load
  const load = { pattern: 'uniform', rangeBytes, connections } as const
  const other = { ...job, ...job.warmUp, load, seconds: warmUpMs / 1000 }
  await run(other, { warmUpMs: 0, tell: () => {} })
  await warm()
  return run(job, { warmUpMs: 0, tell })
}

interface RunSettings {
  /** at the beginning, which does not count */
  readonly warmUpMs: number
  readonly tell: (progress: Progress) => void
}

async function run(job: Job, { warmUpMs, tell }: RunSettings): Promise<LoadResult> {
  const { load, url, seconds } = job
  const once = load.isOnce ? eachOnce(job) : undefined
  const latency = build({ highestTrackableValue: 120_000_000, numberOfSignificantValueDigits: 3 })
  const expectedIntervalMicroseconds =
    load.rate === undefined ? undefined : (1e6 * load.connections) / load.rate
  const timelineRequests: number[] = []
  const startedAtMs = performance.now()
  let failures = 0
  let bytes = 0
  let bytesWithWarmUp = 0
  let lastAnswerMs = 0
  let answers = 0
  let answersWithWarmUp = 0
  let clients = 0
  const histogram = new Array<number>(histogramBounds.length + 1).fill(0)
  let cpuAtStart = process.cpuUsage()
  const warmedUp = setTimeout(() => {
    cpuAtStart = process.cpuUsage()
  }, warmUpMs)
  let answersTold = 0
  const teller = setInterval(() => {
    const count = answersWithWarmUp - answersTold
    answersTold = answersWithWarmUp
    tell({ requestsPerSecond: (count * 1000) / timelineMilliseconds, histogram })
  }, timelineMilliseconds)
  const instance = autocannon({
    url,
    connections: load.connections,
    duration: seconds + warmUpMs / 1000,
    // how often it looks whether it is over
    sampleInt: timelineMilliseconds,
    timeout: timeoutSeconds,
    ...(once === undefined ? {} : { maxOverallRequests: once.length }),
    // its own histogram is not used
    ...(load.rate === undefined ? {} : { overallRate: load.rate, ignoreCoordinatedOmission: true }),
    setupClient: (client) => {
      const place = clients++
      const seed = job.seed + 1000 * place
      // each connection asks for every so-manieth of them
      const wanted =
        once?.filter((_, index) => index % load.connections === place)[Symbol.iterator]() ??
        requests(load, job.fileBytes, seed)
      const names = job.smallFiles === undefined ? undefined : smallFiles(job.smallFiles, seed)
      const folder = new URL(url).pathname
      const count = Math.ceil((once?.length ?? requestsOfAll) / load.connections)
      client.setRequests(
        Array.from({ length: count }, () => ({
          method: 'GET' as const,
          ...(names === undefined ? {} : { path: folder + names.next().value }),
          headers: headersOf(wanted.next().value ?? [])
        }))
      )
      dropBodies(client)
      if (load.rate !== undefined) pace(client, (1000 * load.connections) / load.rate, clients)
      countBrokenOff(client, () => {
        failures++
      })
      client.on('response', (statusCode, responseBytes, ms) => {
        const isWanted = statusCode === (load.pattern === 'whole' ? 200 : 206)
        if (!isWanted) failures++
        bytesWithWarmUp += responseBytes
        const sinceStartMs = performance.now() - startedAtMs
        const period = Math.floor(sinceStartMs / timelineMilliseconds)
        answersWithWarmUp++
        timelineRequests[period] = (timelineRequests[period] ?? 0) + 1
        if (sinceStartMs < warmUpMs) return
        lastAnswerMs = sinceStartMs
        answers++
        bytes += responseBytes
        const microseconds = Math.round(ms * 1000)
        const bucket = Math.max(0, Math.ceil(Math.log2(microseconds / 64)))
        const slot = Math.min(bucket, histogramBounds.length)
        histogram[slot] = (histogram[slot] as number) + 1
        if (expectedIntervalMicroseconds === undefined) latency.recordValue(microseconds)
        else latency.recordValueWithExpectedInterval(microseconds, expectedIntervalMicroseconds)
      })
    }
  })
  const samples = startSampler(job)
  const outcome = await instance
  clearTimeout(warmedUp)
  clearInterval(teller)
  const cpu = process.cpuUsage(cpuAtStart)
  const { wrongBytes, compared } = await samples.stop()
  // it looks whether it is over only now and then, so a run that ends by itself was over before
  const isEarly = once !== undefined && answersWithWarmUp === once.length
  const secondsWithWarmUp = isEarly ? lastAnswerMs / 1000 : outcome.duration
  const secondsMeasured = secondsWithWarmUp - warmUpMs / 1000
  return {
    requests: answers,
    bytes,
    seconds: secondsMeasured,
    requestsWithWarmUp: answersWithWarmUp,
    bytesWithWarmUp,
    secondsWithWarmUp,
    // each timeout is among its errors
    failures: failures + outcome.errors,
    generatorCpuShare: (cpu.user + cpu.system) / 1e6 / Math.max(0.1, secondsMeasured),
    wrongBytes,
    samplesCompared: compared,
    latencyMicroseconds: {
      ...(Object.fromEntries(
        shownPercentiles.map(([name, percent]) => [name, latency.getValueAtPercentile(percent)])
      ) as Record<(typeof shownPercentiles)[number][0], number>),
      max: latency.totalCount === 0 ? 0 : latency.maxValue
    },
    timelineRequests: Array.from(timelineRequests, (count) => count ?? 0)
  }
}

/**
 * An answer whose connection is closed in the middle: autocannon asks again on another one, and counts nothing. It
 * counts the errors of connections, and timeouts.
 */
function countBrokenOff(client: NodeJS.EventEmitter, count: () => void): void {
  let isUnanswered = false
  let isTimedOut = false
  const settle = () => {
    isUnanswered = false
  }
  client.on('request', () => {
    // of a timeout it tells only after the next request
    if (isUnanswered) {
      forgetAnswer(client)
      queueMicrotask(() => {
        if (!isTimedOut) count()
      })
    }
    isUnanswered = true
  })
  client.on('response', settle).on('connError', settle)
  client.on('timeout', () => {
    isTimedOut = true
    queueMicrotask(() => {
      isTimedOut = false
    })
  })
}

/** The ranges of the file, each one time: those of a scan in their order, others at random. */
function eachOnce({ load, fileBytes, seed }: Job): Pieces[] {
  const slots = Math.max(1, Math.floor(fileBytes / load.rangeBytes))
  const seen = new Map<number, Pieces>()
  for (const pieces of requests(load, fileBytes, seed)) {
    const start = pieces[0]?.[0]
    if (start !== undefined && !seen.has(start)) seen.set(start, pieces)
    if (start === undefined || seen.size === slots) break
  }
  const all = [...seen]
  if (load.pattern === 'sequential') all.sort(([first], [second]) => first - second)
  return all.map(([, pieces]) => pieces)
}

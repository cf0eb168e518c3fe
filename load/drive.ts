/**
 * One load: autocannon drives it, a histogram of microseconds keeps the latencies (autocannon's own has a
 * resolution of a millisecond), and sampled answers are compared with the file.
 */
import autocannon from 'autocannon'
import { build } from 'hdr-histogram-js'
import { headersOf, requests, smallFiles } from '#src/advise/access.ts'
import { dropBodies, pace } from './autocannon.ts'
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
 * @throws Error when the load cannot be made; answers that fail are counted
 */
export async function drive(job: Job, tell: (progress: Progress) => void): Promise<LoadResult> {
  const { load, url, seconds } = job
  const latency = build({ highestTrackableValue: 120_000_000, numberOfSignificantValueDigits: 3 })
  const expectedIntervalMicroseconds =
    load.rate === undefined ? undefined : (1e6 * load.connections) / load.rate
  const timelineRequests: number[] = []
  const startedAtMs = performance.now()
  let failures = 0
  let bytes = 0
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
    timeout: timeoutSeconds,
    // its own histogram is not used
    ...(load.rate === undefined ? {} : { overallRate: load.rate, ignoreCoordinatedOmission: true }),
    setupClient: (client) => {
      const seed = job.seed + 1000 * clients++
      const wanted = requests(load, job.fileBytes, seed)
      const names = job.smallFiles === undefined ? undefined : smallFiles(job.smallFiles, seed)
      const folder = new URL(url).pathname
      const count = Math.ceil(requestsOfAll / load.connections)
      client.setRequests(
        Array.from({ length: count }, () => ({
          method: 'GET' as const,
          ...(names === undefined ? {} : { path: folder + names.next().value }),
          headers: headersOf(wanted.next().value)
        }))
      )
      dropBodies(client)
      if (load.rate !== undefined) pace(client, (1000 * load.connections) / load.rate, clients)
      client.on('response', (statusCode, responseBytes, ms) => {
        const isWanted = statusCode === (load.pattern === 'whole' ? 200 : 206)
        if (!isWanted) failures++
        const sinceStartMs = performance.now() - startedAtMs
        const period = Math.floor(sinceStartMs / timelineMilliseconds)
        answersWithWarmUp++
        timelineRequests[period] = (timelineRequests[period] ?? 0) + 1
        if (sinceStartMs < warmUpMs) return
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
  return {
    requests: answers,
    bytes,
    seconds: outcome.duration - warmUpMs / 1000,
    requestsWithWarmUp: answersWithWarmUp,
    // each timeout is among its errors
    failures: failures + outcome.errors,
    generatorCpuShare:
      (cpu.user + cpu.system) / 1e6 / Math.max(0.1, outcome.duration - warmUpMs / 1000),
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

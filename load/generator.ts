/**
 * One load, in a process of its own: autocannon drives it, a histogram of microseconds keeps the latencies
 * (autocannon's own has a resolution of a millisecond), and sampled answers are compared with the file.
 */
import fs from 'node:fs'
import http from 'node:http'
import autocannon from 'autocannon'
import { build } from 'hdr-histogram-js'
import { rangeStarts } from './access.ts'
import type { Load } from './scenarios.ts'

export interface Job {
  readonly url: string
  readonly fileBytes: number
  /** the same bytes on this machine, to compare with; undefined: nothing is compared */
  readonly file: string | undefined
  readonly load: Load
  readonly seconds: number
  readonly seed: number
}

export interface LoadResult {
  readonly requests: number
  readonly bytes: number
  readonly seconds: number
  readonly failures: number
  readonly wrongBytes: number
  readonly samplesCompared: number
  readonly latencyMicroseconds: {
    readonly p50: number
    readonly p90: number
    readonly p99: number
    readonly p999: number
    readonly max: number
  }
}

// requests that each connection goes through, built before the clock starts
const requestsPerConnection = 1000
const sampleEveryMs = 100

process.once('message', (job: Job) => {
  run(job).then(
    (result) => process.send?.({ result }, () => process.exit(0)),
    (error: unknown) => process.send?.({ error: String(error) }, () => process.exit(1))
  )
})

async function run(job: Job): Promise<LoadResult> {
  const { load, url, seconds } = job
  const latency = build({ highestTrackableValue: 120_000_000, numberOfSignificantValueDigits: 3 })
  let failures = 0
  let bytes = 0
  let clients = 0
  const instance = autocannon({
    url,
    connections: load.connections,
    duration: seconds,
    timeout: 60,
    setupClient: (client) => {
      const starts = rangeStarts(load, job.fileBytes, job.seed + 1000 * clients++)
      client.setRequests(
        Array.from({ length: requestsPerConnection }, () => {
          const start = starts.next().value
          const last = Math.min(start + load.rangeBytes, job.fileBytes) - 1
          return { method: 'GET' as const, headers: { range: `bytes=${start}-${last}` } }
        })
      )
      // It decodes every body to a string that nobody reads, which would make it slower than what it measures.
      const queue = (client as { pipelinedRequests?: { addBody?: unknown } }).pipelinedRequests
      if (queue?.addBody !== undefined) queue.addBody = () => {}
      client.on('response', (statusCode, responseBytes, ms) => {
        if (statusCode !== 206 && statusCode !== 200) failures++
        bytes += responseBytes
        latency.recordValue(Math.round(ms * 1000))
      })
    }
  })
  const samples = sampler(job)
  const outcome = await instance
  const { wrongBytes, compared } = await samples.stop()
  const microseconds = (percent: number) => latency.getValueAtPercentile(percent)
  return {
    requests: latency.totalCount,
    bytes,
    seconds: outcome.duration,
    failures: failures + outcome.errors + outcome.timeouts,
    wrongBytes,
    samplesCompared: compared,
    latencyMicroseconds: {
      p50: microseconds(50),
      p90: microseconds(90),
      p99: microseconds(99),
      p999: microseconds(99.9),
      max: latency.maxValue
    }
  }
}

/** Asks for ranges of the same kind beside the load, and compares their bytes after they came. */
function sampler({ url, file, fileBytes, load, seed }: Job) {
  let wrongBytes = 0
  let compared = 0
  let isOver = false
  const starts = rangeStarts(load, fileBytes, seed + 77)
  const fd = file === undefined ? undefined : fs.openSync(file, 'r')
  const finished = (async () => {
    while (!isOver && fd !== undefined) {
      const start = starts.next().value
      const length = Math.min(load.rangeBytes, fileBytes - start)
      const got = await getRange(url, start, length)
      const expected = Buffer.alloc(length)
      fs.readSync(fd, expected, 0, length, start)
      compared++
      if (!got.equals(expected)) wrongBytes++
      await new Promise((resolve) => setTimeout(resolve, sampleEveryMs))
    }
    if (fd !== undefined) fs.closeSync(fd)
  })()
  return {
    async stop() {
      isOver = true
      await finished
      return { wrongBytes, compared }
    }
  }
}

function getRange(url: string, start: number, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const headers = { range: `bytes=${start}-${start + length - 1}` }
    const request = http.get(url, { headers, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve(Buffer.concat(chunks)))
      response.on('error', reject)
    })
    request.on('error', reject)
  })
}

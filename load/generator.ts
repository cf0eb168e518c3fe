/**
 * One load, in a process of its own: autocannon drives it, a histogram of microseconds keeps the latencies
 * (autocannon's own has a resolution of a millisecond), and sampled answers are compared with the file.
 */
import fs from 'node:fs'
import http from 'node:http'
import autocannon from 'autocannon'
import { build } from 'hdr-histogram-js'
import { type Pieces, rangeField, requests } from './access.ts'
import type { Load } from './scenarios.ts'

export interface Job {
  readonly url: string
  readonly fileBytes: number
  /** the same bytes on this machine, to compare with; undefined: only lengths are compared */
  readonly file: string | undefined
  /** whether answers are sampled and compared; to compare what is to stay cold would warm it */
  readonly isSampled: boolean
  readonly load: Load
  readonly seconds: number
  readonly seed: number
}

/** Of the time after the warm-up, where nothing else is said. */
export interface LoadResult {
  readonly requests: number
  readonly bytes: number
  readonly seconds: number
  /** with those of the warm-up: what the server's counters saw */
  readonly requestsWithWarmUp: number
  readonly failures: number
  readonly wrongBytes: number
  readonly samplesCompared: number
  /** with a fixed rate, a late answer also counts for the requests that it kept from being sent */
  readonly latencyMicroseconds: Record<(typeof shownPercentiles)[number][0] | 'max', number>
  /** answers in each period of `timelineMilliseconds` */
  readonly timelineRequests: readonly number[]
}

export const timelineMilliseconds = 250

// In the first of it the load generator is busy with its own start, and compilers with everybody's code.
const warmUpMs = 750

export const shownPercentiles = [
  ['p50', 50],
  ['p75', 75],
  ['p90', 90],
  ['p99', 99],
  ['p999', 99.9],
  ['p9999', 99.99]
] as const

// requests that each connection goes through, built before the clock starts
const requestsOfAll = 32_000
const sampleEveryMs = 100
const timeoutSeconds = 60

process.once('message', (job: Job) => {
  run(job).then(
    (result) => process.send?.({ result }, () => process.exit(0)),
    (error: unknown) => process.send?.({ error: String(error) }, () => process.exit(1))
  )
})
// whoever asked is gone
process.once('disconnect', () => process.exit(1))

async function run(job: Job): Promise<LoadResult> {
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
  const instance = autocannon({
    url,
    connections: load.connections,
    duration: seconds + warmUpMs / 1000,
    timeout: timeoutSeconds,
    ...(load.rate === undefined ? {} : { overallRate: load.rate, ignoreCoordinatedOmission: true }),
    setupClient: (client) => {
      const wanted = requests(load, job.fileBytes, job.seed + 1000 * clients++)
      const count = Math.ceil(requestsOfAll / load.connections)
      client.setRequests(
        Array.from({ length: count }, () => ({
          method: 'GET' as const,
          headers: headersOf(wanted.next().value)
        }))
      )
      // It decodes every body to a string that nobody reads, which would make it slower than what it measures.
      const queue = (client as { pipelinedRequests?: { addBody?: unknown } }).pipelinedRequests
      if (queue?.addBody !== undefined) queue.addBody = () => {}
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
        if (expectedIntervalMicroseconds === undefined) latency.recordValue(microseconds)
        else latency.recordValueWithExpectedInterval(microseconds, expectedIntervalMicroseconds)
      })
    }
  })
  const samples = sampler(job)
  const outcome = await instance
  const { wrongBytes, compared } = await samples.stop()
  return {
    requests: answers,
    bytes,
    seconds: outcome.duration - warmUpMs / 1000,
    requestsWithWarmUp: answersWithWarmUp,
    // each timeout is among its errors
    failures: failures + outcome.errors,
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

/** What of autocannon's client, as it is pinned, has to do with a fixed rate. */
interface PacedClient {
  rate: number
  rateInterval: NodeJS.Timeout
  /** since the last beat */
  reqsMadeThisSecond: number
  /** a request is due as soon as the beat comes */
  paused: boolean
  cer: unknown
  _doRequest(cer: unknown): void
}

/**
 * One request at each beat: autocannon would send a second's requests one after the other as fast as they are
 * answered, and then pause until the next second.
 * @param place of the connection among the others, whose beats come between
 */
function pace(client: unknown, intervalMs: number, place: number): void {
  const paced = client as PacedClient
  clearInterval(paced.rateInterval)
  paced.rate = 1
  const beat = () => {
    paced.reqsMadeThisSecond = 0
    if (!paced.paused) return
    paced.paused = false
    paced._doRequest(paced.cer)
  }
  const begin = () => {
    paced.rateInterval = setInterval(beat, intervalMs)
  }
  setTimeout(begin, (place % intervalMs) + 1)
}

function headersOf(pieces: Pieces): Record<string, string> {
  const range = rangeField(pieces)
  return range === undefined ? {} : { range }
}

/** Asks for ranges of the same kind beside the load, and compares their bytes after they came. */
function sampler({ url, file, fileBytes, load, seed, isSampled }: Job) {
  let wrongBytes = 0
  let compared = 0
  let isOver = false
  const wanted = requests(load, fileBytes, seed + 77)
  const fd = file === undefined ? undefined : fs.openSync(file, 'r')
  const finished = (async () => {
    while (!isOver && isSampled) {
      const pieces = wanted.next().value
      const answer = await get(url, headersOf(pieces)).catch(() => undefined)
      // a connection that breaks off is a failure, which the load counts as well, and no wrong byte
      if (answer !== undefined && answer.status < 300) {
        compared++
        if (!isRight(answer, pieces, fileBytes, fd)) wrongBytes++
      }
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

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: Buffer
}

function isRight(
  answer: Answer,
  pieces: Pieces,
  fileBytes: number,
  fd: number | undefined
): boolean {
  if (pieces.length > 1 && answer.status === 206) {
    const parts = partsOf(answer)
    return (
      parts.length === pieces.length &&
      parts.every(({ start, bytes }, index) => {
        const [expectedStart, length] = pieces[index] as Pieces[number]
        return start === expectedStart && bytes.length === length && isInFile(bytes, start, fd)
      })
    )
  }
  // a server may answer with the whole file
  const isWhole = answer.status === 200 || pieces.length === 0
  const [start, length] = isWhole ? [0, fileBytes] : (pieces[0] as Pieces[number])
  return answer.body.length === length && isInFile(answer.body, start, fd)
}

function isInFile(bytes: Buffer, start: number, fd: number | undefined): boolean {
  if (fd === undefined) return true
  const expected = Buffer.alloc(bytes.length)
  fs.readSync(fd, expected, 0, expected.length, start)
  return bytes.equals(expected)
}

/** @see RFC 9110 §14.6 */
function partsOf({ type, body }: Answer): { start: number; bytes: Buffer }[] {
  const boundary = /boundary="?([^";]+)"?/.exec(type)?.[1]
  const parts: { start: number; bytes: Buffer }[] = []
  let at = body.indexOf(`--${boundary}\r\n`)
  while (at !== -1 && boundary !== undefined) {
    const headersEnd = body.indexOf('\r\n\r\n', at)
    const headers = body.subarray(at, headersEnd).toString('latin1')
    const [, first, last] = /^content-range: bytes (\d+)-(\d+)\//im.exec(headers) ?? []
    if (headersEnd === -1 || first === undefined) break
    const start = headersEnd + 4
    const end = start + Number(last) - Number(first) + 1
    parts.push({ start: Number(first), bytes: body.subarray(start, end) })
    at = body.indexOf(`--${boundary}\r\n`, end)
  }
  return parts
}

function get(url: string, headers: Record<string, string>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { headers, agent: false, timeout: timeoutSeconds * 1000 } as const
    const request = http.get(url, options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const { statusCode: status = 0, headers } = response
        resolve({ status, type: headers['content-type'] ?? '', body: Buffer.concat(chunks) })
      })
    })
    request.on('timeout', () => request.destroy(new Error('timeout')))
    request.on('error', reject)
  })
}

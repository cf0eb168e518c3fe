/**
 * Replays requests over HTTP as fast as they are answered, and tells how fast that was. It reads heads and counts the
 * bytes of bodies; to look at them is not its work, and would make it slower than what it measures.
 */
import net from 'node:net'
import { createHistogram } from 'node:perf_hooks'

export interface ReplayJob {
  readonly port: number
  /** of each file, as in a request line */
  readonly targets: readonly string[]
  /** index of the target, and the Range field; in order, over all connections, and again from the beginning */
  readonly requests: readonly (readonly [target: number, range: string | undefined])[]
  readonly connections: number
  /** after the warm-up */
  readonly seconds: number
  /** the files are not in memory, and the warm-up must leave them so */
  readonly isCold: boolean
}

/** Of the time after the warm-up. */
export interface ReplayResult {
  readonly requests: number
  readonly bytes: number
  readonly seconds: number
  readonly requestsWithWarmUp: number
  /** answers other than 200 and 206, and connections that broke */
  readonly failures: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  /** of this process, as a share of one CPU: near 1, it is what was measured */
  readonly generatorCpuShare: number
}

// compilers of both sides are busy until then
const usualWarmUpMs = 500
// a server that has stopped answering ends the replay
const timeoutMs = 30_000

/**
 * @param warm is awaited between the warm-up of cold files, which asks for one byte only, and what is measured
 * @throws Error when a connection cannot be made, or no answer comes for 30 seconds
 */
export async function replay(job: ReplayJob, warm: () => Promise<void>): Promise<ReplayResult> {
  if (!job.isCold) return run(job, usualWarmUpMs)
  await run({ ...job, requests: [[0, 'bytes=0-0']], seconds: usualWarmUpMs / 1000 }, 0)
  await warm()
  return run(job, 0)
}

function run(job: ReplayJob, warmUpMs: number): Promise<ReplayResult> {
  // µs
  const latency = createHistogram({ lowest: 1, highest: 120_000_000, figures: 3 })
  const counts = { requests: 0, bytes: 0, failures: 0, withWarmUp: 0 }
  let cpuAtStart = process.cpuUsage()
  // not yet
  let warmAtMs = Number.POSITIVE_INFINITY
  let next = 0
  return new Promise((resolve, reject) => {
    const clients: Client[] = []
    const endAll = () => {
      clearTimeout(warm)
      clearTimeout(over)
      for (const client of clients) client.destroy()
    }
    const fail = (error: Error) => {
      endAll()
      reject(error)
    }
    const warm = setTimeout(() => {
      cpuAtStart = process.cpuUsage()
      warmAtMs = performance.now()
    }, warmUpMs)
    const over = setTimeout(
      () => {
        const cpu = process.cpuUsage(cpuAtStart)
        const seconds = (performance.now() - warmAtMs) / 1000
        endAll()
        resolve({
          requests: counts.requests,
          bytes: counts.bytes,
          failures: counts.failures,
          requestsWithWarmUp: counts.withWarmUp,
          seconds,
          p50Ms: latency.percentile(50) / 1000,
          p99Ms: latency.percentile(99) / 1000,
          maxMs: latency.max / 1000,
          generatorCpuShare: (cpu.user + cpu.system) / 1e6 / seconds
        })
      },
      warmUpMs + job.seconds * 1000
    )
    for (let i = 0; i < job.connections; i++) {
      clients.push(
        new Client(job.port, {
          nextHead: () => {
            const [target, range] = job.requests[next++ % job.requests.length] as [
              number,
              string | undefined
            ]
            return headOf(job.targets[target] as string, range)
          },
          answered: (status, bytes, beganAtMs) => {
            counts.withWarmUp++
            const nowMs = performance.now()
            if (nowMs < warmAtMs) return
            if (status !== 200 && status !== 206) counts.failures++
            counts.requests++
            counts.bytes += bytes
            latency.record(Math.max(1, Math.round((nowMs - beganAtMs) * 1000)))
          },
          failed: fail
        })
      )
    }
  })
}

function headOf(target: string, range: string | undefined): string {
  const field = range === undefined ? '' : `Range: ${range}\r\n`
  return `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1\r\n${field}\r\n`
}

interface Work {
  nextHead(): string
  answered(status: number, bytes: number, beganAtMs: number): void
  failed(error: Error): void
}

/** One connection, which asks again as soon as it is answered. */
class Client {
  readonly #socket: net.Socket
  readonly #work: Work
  #beganAtMs = 0
  /** of a head that has not come whole */
  #head = ''
  #status = 0
  /** bytes of the body that are still to come; undefined: the head is */
  #left: number | undefined
  #bodyBytes = 0

  constructor(port: number, work: Work) {
    this.#work = work
    this.#socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    this.#socket.setTimeout(timeoutMs, () => work.failed(new Error('no answer for 30 seconds')))
    this.#socket.once('connect', () => this.#ask())
    this.#socket.on('data', (chunk) => this.#take(chunk))
    this.#socket.once('error', (error) => work.failed(error))
    this.#socket.once('end', () => work.failed(new Error('the server closed a connection')))
  }

  destroy(): void {
    this.#socket.removeAllListeners('end')
    this.#socket.destroy()
  }

  #ask(): void {
    this.#beganAtMs = performance.now()
    this.#socket.write(this.#work.nextHead(), 'latin1')
  }

  #take(chunk: Buffer): void {
    let body = chunk.length
    if (this.#left === undefined) {
      this.#head += chunk.toString('latin1', 0, Math.min(chunk.length, 4096))
      const end = this.#head.indexOf('\r\n\r\n')
      if (end === -1) {
        if (this.#head.length > 16_384) this.#work.failed(new Error('a head without end'))
        return
      }
      const length = /\r\ncontent-length: *(\d+)/i.exec(this.#head.slice(0, end + 2))?.[1]
      const before = this.#head.length - Math.min(chunk.length, 4096)
      this.#status = Number(this.#head.slice(9, 12))
      this.#head = ''
      this.#left = Number(length ?? 0)
      this.#bodyBytes = this.#left
      body = chunk.length - (end + 4 - before)
    }
    this.#left -= body
    if (this.#left > 0) return
    this.#left = undefined
    this.#work.answered(this.#status, this.#bodyBytes, this.#beganAtMs)
    this.#ask()
  }
}

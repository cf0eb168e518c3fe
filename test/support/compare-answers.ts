/**
 * The same bytes to two services, of which one has the fast path and the other not, and what is different about
 * their answers.
 */
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import fc from 'fast-check'
import { metric } from './metrics.ts'
import { type KnownValidators, plainRequest, requestBytes } from './request-bytes.ts'
import { get, type Lifetime, type Serving, serve, tempFolder, writePattern } from './serve.ts'

/** What one connection sends. */
export interface Exchange {
  /** requests in the order in which they are sent */
  readonly requests: readonly Buffer[]
  /** where the bytes are cut, as shares of their length; empty: one write */
  readonly cuts: readonly number[]
  /** pause between two pieces, ms; 0: a turn of the event loop */
  readonly pauseMs: number
  /** the client ends its side after its last byte */
  readonly endsFirst: boolean
}

export interface Pair {
  readonly on: Serving
  readonly off: Serving
  readonly validators: KnownValidators
}

export interface Comparison {
  requests: number
  connections: number
  /** requests that went to the service with the fast path, with those that were sent again and the last ones */
  sentToFast: number
  /** connections on which node:http cut answers that were owed, see `compare` */
  cut: number
  readonly differences: string[]
}

// what the last request of a connection asks for: bytes that no other answer ends with
const lastRequest = Buffer.from('GET /files/last HTTP/1.1\r\nHost: x\r\n\r\n')
const lastBytes = Buffer.from('the end of this connection')

const fileTargets = [
  '/files/f',
  '/files/f?v=1&w=/../x',
  '/files/sub/g.pmtiles',
  '/files/a%20b',
  '/files/%66',
  '/files/empty'
]
const targets = [
  ...fileTargets,
  '/files/none',
  '/files/sub',
  '/files/sub/',
  '/files/',
  '/files',
  '/files//f',
  '/files/./f',
  '/files/../f',
  '/files/%2e%2e/f',
  '/files/sub%2fg.pmtiles',
  '/files/%',
  '/files/%ff',
  '/files/f%00',
  '/files/.hidden',
  '//files/f',
  '/%66iles/f',
  '/FILES/f',
  '/',
  '/healthz',
  `/files/${'n'.repeat(120)}`,
  `/files/${'n'.repeat(256)}`
]

// exchanges at the same time: most of their time they wait for the end of something
const lanes = 16

/** Two services of the same folder. */
export async function servePair(t: Lifetime, args: readonly string[] = []): Promise<Pair> {
  const root = tempFolder(t)
  fs.mkdirSync(path.join(root, 'sub'))
  writePattern(path.join(root, 'f'), 1000)
  writePattern(path.join(root, 'sub', 'g.pmtiles'), 70_000)
  fs.writeFileSync(path.join(root, 'a b'), 'abc')
  fs.writeFileSync(path.join(root, 'empty'), '')
  fs.writeFileSync(path.join(root, '.hidden'), 'hidden')
  fs.writeFileSync(path.join(root, 'last'), lastBytes)
  for (const name of ['f', 'sub/g.pmtiles', 'a b', 'empty', 'last', '.hidden']) {
    fs.utimesSync(path.join(root, name), 1_700_000_000, 1_700_000_000)
  }
  // a machine that is busy with other tests would make one of the two shed
  const common = ['--log-level', 'info', '--max-event-loop-delay', '0ms', ...args]
  const [on, off] = await Promise.all([
    serve(t, root, ['--fast-path', 'on', ...common]),
    serve(t, root, ['--fast-path', 'off', ...common])
  ])
  for (const { url } of [on, off]) {
    for (const name of ['f', 'sub/g.pmtiles', 'a%20b', 'empty', 'last']) await get(url + name)
  }
  const { headers } = await get(`${on.url}f`)
  const { etag = '', 'last-modified': lastModified = '' } = headers
  return { on, off, validators: { etag, lastModified } }
}

function anyExchange(validators: KnownValidators): fc.Arbitrary<Exchange> {
  const plain = plainRequest({ targets: fileTargets, validators })
  const any = requestBytes({ targets, validators })
  const requests = fc.oneof(
    fc.array(plain, { minLength: 1, maxLength: 10 }),
    fc.array(fc.oneof({ weight: 4, arbitrary: plain }, { weight: 1, arbitrary: any }), {
      minLength: 1,
      maxLength: 8
    }),
    fc.array(any, { minLength: 1, maxLength: 3 })
  )
  const share = fc.double({ min: 0, max: 1, noNaN: true })
  return fc.record({
    requests,
    cuts: fc.oneof(
      { weight: 5, arbitrary: fc.constant([]) },
      { weight: 1, arbitrary: fc.array(share, { maxLength: 6 }) }
    ),
    pauseMs: fc.constantFrom(0, 0, 0, 1, 3),
    endsFirst: fc.oneof(
      { weight: 12, arbitrary: fc.constant(false) },
      { weight: 1, arbitrary: fc.constant(true) }
    )
  })
}

/**
 * Compare many exchanges, several at a time.
 * @param requests how many to send in all, to each of the two
 */
export async function compareMany(pair: Pair, seed: number, requests: number): Promise<Comparison> {
  const comparison = { requests: 0, connections: 0, sentToFast: 0, cut: 0, differences: [] }
  let batch = seed
  while (comparison.requests < requests && comparison.differences.length < 5) {
    const exchanges = fc.sample(anyExchange(pair.validators), { seed: batch++, numRuns: 200 })
    const lane = async () => {
      for (let next = exchanges.pop(); next !== undefined; next = exchanges.pop()) {
        await compare(pair, next, comparison)
      }
    }
    await Promise.all(Array.from({ length: lanes }, lane))
  }
  return comparison
}

/**
 * node:http reads ahead: a request that it cannot read, or the client's end, closes the connection while answers to
 * the requests before it are still being made. How many of them were sent by then is a matter of time. So where
 * answers are different, the requests are sent one by one, each after the answer to the last. What the fast path answers
 * then is what is owed; all else that came must be the beginning of it, on a connection that is closed.
 */
async function compare(pair: Pair, exchange: Exchange, comparison: Comparison): Promise<void> {
  comparison.connections++
  const { length } = exchange.requests
  comparison.requests += length
  comparison.sentToFast += length + 1
  const [on, off] = await Promise.all([send(pair.on, exchange, 150), send(pair.off, exchange, 150)])
  if (on === off) return
  // the machine may have been busy
  let differences = ''
  for (const patienceMs of [300, 1500]) {
    comparison.sentToFast += 2 * (length + 1)
    const on = await send(pair.on, exchange, patienceMs)
    const off = await send(pair.off, exchange, patienceMs)
    if (on === off) return
    const onAlone = await sendOneByOne(pair.on, exchange, patienceMs)
    const offAlone = await sendOneByOne(pair.off, exchange, patienceMs)
    if ([on, off, offAlone].every((outcome) => isCutOf(outcome, onAlone))) {
      comparison.cut++
      return
    }
    differences = Object.entries({ on, off, onAlone, offAlone })
      .map(([name, text]) => `${name}:\n${shortened(text)}`)
      .join('\n')
  }
  const { requests, ...how } = exchange
  const sent = requests.map((bytes) => JSON.stringify(bytes.toString('latin1')))
  comparison.differences.push([JSON.stringify(how), ...sent, differences].join('\n'))
}

// what Fastify says, without a Date, when node:http cannot read a request
const refusal =
  /HTTP\/1\.1 [45]\d\d [^\n]*\r\nContent-Length: \d+\r\nContent-Type: application\/json\r\n\r\n\{[^}]*\}$/

/** Whether a closed connection got the beginning of what is owed, perhaps with a refusal behind it. */
function isCutOf(outcome: string, owed: string): boolean {
  if (outcome === owed) return true
  if (!outcome.endsWith('\n[ended]')) return false
  const text = outcome.slice(0, -'\n[ended]'.length)
  return owed.startsWith(text) || owed.startsWith(text.replace(refusal, ''))
}

/** @returns what came back, normalised, and how the connection was afterwards */
async function send(server: Serving, exchange: Exchange, patienceMs: number): Promise<string> {
  const client = new Client(server)
  const { requests, cuts, pauseMs, endsFirst } = exchange
  const bytes = Buffer.concat([...requests, lastRequest])
  const places = [...cuts.map((share) => Math.floor(share * bytes.length)), bytes.length]
  let at = 0
  for (const end of places.sort((a, b) => a - b)) {
    if (end === at) continue
    if (at > 0) await wait(pauseMs)
    client.write(bytes.subarray(at, end))
    at = end
  }
  if (endsFirst) client.end()
  return client.outcome(patienceMs)
}

async function sendOneByOne(
  server: Serving,
  { requests, endsFirst }: Exchange,
  patienceMs: number
): Promise<string> {
  const client = new Client(server)
  for (const request of [...requests, lastRequest]) {
    client.write(request)
    await client.answered(patienceMs)
  }
  if (endsFirst) client.end()
  return client.outcome(patienceMs)
}

class Client {
  readonly #socket: net.Socket
  readonly #chunks: Buffer[] = []
  #state: 'open' | 'ended' | 'reset' = 'open'
  #changed = () => {}

  constructor({ port }: Serving) {
    this.#socket = net.connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    this.#socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.#changed()
    })
    this.#socket.on('end', () => {
      this.#state = 'ended'
      this.#changed()
    })
    this.#socket.on('error', () => {
      // a reset behind the end is what the kernel says of bytes that nobody has read
      if (this.#state === 'open') this.#state = 'ended'
      this.#changed()
    })
  }

  write(bytes: Buffer): void {
    if (this.#socket.writable) this.#socket.write(bytes)
  }

  end(): void {
    this.#socket.end()
  }

  /** Until something has come since the last call, and then nothing more for a moment. */
  async answered(patienceMs: number): Promise<void> {
    const before = this.#chunks.length
    await this.quiet(patienceMs, () => this.#chunks.length > before)
    await this.quiet(patienceMs / 5)
  }

  /** Until nothing has come for so long, or nothing will come any more. */
  async quiet(ms: number, isEnough = () => false): Promise<void> {
    while (this.#state === 'open' && !isEnough()) {
      const isQuiet = await new Promise<boolean>((resolve) => {
        const timer = setTimeout(() => resolve(true), ms)
        this.#changed = () => {
          clearTimeout(timer)
          resolve(false)
        }
      })
      if (isQuiet) return
    }
  }

  async outcome(patienceMs: number): Promise<string> {
    await this.quiet(patienceMs, () => {
      const last = this.#chunks.at(-1)
      return last?.subarray(-lastBytes.length).equals(lastBytes) === true
    })
    // what closes a connection after its last answer does so at once
    const state = this.#state
    this.#socket.destroy()
    return `${normalised(Buffer.concat(this.#chunks))}\n[${state}]`
  }
}

/** For people to read: bodies that are no text are left out. */
function shortened(text: string): string {
  return text.replace(/[^\t\r\n\x20-\x7e][\s\S]*?(?=HTTP\/1\.1 |\r\n--|\n\[|$)/g, '[bytes]')
}

function normalised(bytes: Buffer): string {
  return bytes
    .toString('latin1')
    .replace(/^date: .*$/gim, 'Date: *')
    .replace(/boundary=[\w-]+/g, 'boundary=*')
    .replace(/^--[\w-]{24}(?=-?-?\r)/gm, '--*')
    .replace(/^server-timing: .*$/gim, 'server-timing: *')
}

/** How many of the requests stayed below node:http. */
export function fastRequests({ on }: Pair): Promise<number> {
  return metric(on.origin, 'fast_path_requests_total')
}

/**
 * What the harness changes in autocannon's client. None of it is part of autocannon's API: so load/package.json
 * asks for one exact version, and a run begins with a look at whether all of it is there.
 */
import { requiredVersion } from './project.ts'

/** What is used of a client. @see autocannon/lib/httpClient.js, pipelinedRequestsQueue.js */
interface Client {
  /** requests in each beat; undefined: there is no limit */
  rate: number | undefined
  /** in this beat; autocannon's own beat is a second */
  reqsMadeThisSecond: number
  /** the next request is due as soon as the beat comes; not there before the first time */
  paused?: boolean
  /** cleared when the client ends */
  rateInterval?: NodeJS.Timeout
  _doRequest(): void
  readonly pipelinedRequests: { addBody: (data: Buffer) => void; clear(): void }
  /** of http-parser-js */
  readonly parser: { reinitialize(type: 'RESPONSE'): void }
}

export type ClientClass = new (options: { setupClient: (client: Client) => void }) => Client

/** What is installed; undefined: it is not there. */
export interface Found {
  readonly version: string | undefined
  readonly Client: ClientClass | undefined
}

/** @throws Error in words for the user, when it is another version or another inside */
export function assertAutocannon(): void {
  const problem = problemOf(requiredVersion('autocannon'), {
    version: (optional('autocannon/package.json') as { version: string } | undefined)?.version,
    Client: optional('autocannon/lib/httpClient.js') as ClientClass | undefined
  })
  if (problem !== undefined) throw new Error(problem)
}

/** @returns one line for the user; undefined: it is as it should be */
export function problemOf(expected: string | undefined, found: Found): string | undefined {
  const missing = missingOf(found.Client)
  if (found.version === expected && missing.length === 0) return undefined
  const lacks = missing.length === 0 ? 'nothing' : missing.join(', ')
  return `autocannon ${expected} is expected, ${found.version ?? 'none'} is installed; missing of what the harness changes in it: ${lacks} (npm ci installs the right one)`
}

function missingOf(Client: ClientClass | undefined): string[] {
  if (Client === undefined) return ['lib/httpClient.js']
  const client = withoutConnection(Client)
  if (client === undefined) return ['setupClient']
  const parts: [string, () => boolean][] = [
    ['rate', () => 'rate' in client],
    ['reqsMadeThisSecond', () => client.reqsMadeThisSecond === 0],
    ['pipelinedRequests.addBody', () => typeof client.pipelinedRequests.addBody === 'function'],
    ['pipelinedRequests.clear', () => typeof client.pipelinedRequests.clear === 'function'],
    ['parser.reinitialize', () => typeof client.parser.reinitialize === 'function'],
    ['_doRequest', () => typeof client._doRequest === 'function'],
    ['paused', () => pauses(client)]
  ]
  return parts.filter(([, isThere]) => !holds(isThere)).map(([name]) => name)
}

/** A client as setupClient gets it: it connects only afterwards, which the exception prevents. */
function withoutConnection(Client: ClientClass): Client | undefined {
  let made: Client | undefined
  const setupClient = (client: Client) => {
    made = client
    throw new Error('only looked at')
  }
  try {
    new Client({ setupClient })
  } catch {
    // thrown above, or nothing was made
  }
  return made
}

/** Whether a client that has made its request of this beat waits for the next. */
function pauses(client: Client): boolean {
  client.rate = 1
  client.reqsMadeThisSecond = 1
  client._doRequest()
  return client.paused === true
}

function holds(claim: () => boolean): boolean {
  try {
    return claim()
  } catch {
    return false
  }
}

function optional(module: string): unknown {
  try {
    return require(module)
  } catch {
    return undefined
  }
}

/**
 * Bodies are not kept. Autocannon decodes each to a string, which nothing here reads and which would make it
 * slower than the servers that it measures.
 * @param client as setupClient gets it
 */
export function dropBodies(client: unknown): void {
  const { pipelinedRequests } = client as Client // asserted at the start of the run
  pipelinedRequests.addBody = () => {}
}

/**
 * After an answer that broke off: autocannon's parser would take the next answer, on another connection, for the rest
 * of that one.
 * @param client as setupClient gets it, before its next request
 */
export function forgetAnswer(client: unknown): void {
  const { parser, pipelinedRequests } = client as Client // asserted at the start of the run
  pipelinedRequests.clear()
  parser.reinitialize('RESPONSE')
}

/**
 * One request at each beat. Autocannon's own rate would send the requests of a second one after the other, as
 * fast as they are answered, and then pause until the next second.
 * @param client as setupClient gets it
 * @param intervalMs between two beats
 * @param place of the connection among the others, whose beats come between
 */
export function pace(client: unknown, intervalMs: number, place: number): void {
  const paced = client as Client // asserted at the start of the run
  let dueMs = performance.now() + (place % intervalMs) + 1
  // not setInterval, each beat of which is some tenths of a millisecond later than the last
  const wait = () => {
    paced.rateInterval = setTimeout(beat, dueMs - performance.now())
  }
  const beat = () => {
    // a timer may be early by a part of a millisecond; beats that were missed are left out
    do dueMs += intervalMs
    while (dueMs <= performance.now())
    wait()
    paced.reqsMadeThisSecond = 0
    if (!paced.paused) return
    paced.paused = false
    paced._doRequest()
  }
  // for a client with a rate its constructor, which runs now, would start the beat of a second
  paced.rate = undefined
  queueMicrotask(() => {
    paced.rate = 1
    // the one that the constructor made
    paced.reqsMadeThisSecond = 1
  })
  wait()
}

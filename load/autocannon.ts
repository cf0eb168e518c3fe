/**
 * What the harness changes in autocannon's client. None of it is part of autocannon's API: so load/package.json
 * asks for one exact version.
 */
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
  readonly pipelinedRequests: { addBody: (data: Buffer) => void }
}

/**
 * Bodies are not kept. Autocannon decodes each to a string, which nothing here reads and which would make it
 * slower than the servers that it measures.
 * @param client as setupClient gets it
 */
export function dropBodies(client: unknown): void {
  const { pipelinedRequests } = client as Client
  pipelinedRequests.addBody = () => {}
}

/**
 * One request at each beat. Autocannon's own rate would send the requests of a second one after the other, as
 * fast as they are answered, and then pause until the next second.
 * @param client as setupClient gets it
 * @param intervalMs between two beats
 * @param place of the connection among the others, whose beats come between
 */
export function pace(client: unknown, intervalMs: number, place: number): void {
  const paced = client as Client
  clearInterval(paced.rateInterval)
  paced.rate = 1
  const beat = () => {
    paced.reqsMadeThisSecond = 0
    if (!paced.paused) return
    paced.paused = false
    paced._doRequest()
  }
  const begin = () => {
    paced.rateInterval = setInterval(beat, intervalMs)
  }
  setTimeout(begin, (place % intervalMs) + 1)
}

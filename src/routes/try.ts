/** A request to the service's own files, sent for the live page, which is of another origin than they are. */
import { randomBytes } from 'node:crypto'
import http from 'node:http'
import type { FastifyInstance } from 'fastify'
import { traceField } from '../http/trace-field.ts'
import type { Tried } from '../metrics/live-types.ts'
import type { Processes } from './live.ts'

export interface TryOptions {
  readonly processes: Processes
  /** of the URL paths under which files are served */
  readonly prefix: string
}

// What a person can look at. The rest of a longer body is read and counted, up to the limit.
const shownBytes = 4096
const maxBodyBytes = 64 * 2 ** 20
const timeoutMs = 30_000

export function registerTry(app: FastifyInstance, { processes, prefix }: TryOptions): void {
  app.get<{ Querystring: Record<string, string> }>(
    '/try/*',
    { config: { cors: false } },
    async (request): Promise<Tried> => {
      const { range } = request.query
      if (range !== undefined && !/^[\x20-\x7e]{0,1000}$/.test(range)) {
        throw app.httpErrors.badRequest(
          'range may be up to 1000 ASCII characters, such as bytes=0-99'
        )
      }
      const address = processes.filesAddress()
      if (address === undefined) throw app.httpErrors.serviceUnavailable('the service is starting')
      const secret = randomBytes(16).toString('hex')
      await processes.ask({ about: 'trace', asks: secret })
      // as it was sent: encoded, without the query
      const encoded = (request.raw.url ?? '').slice('/try/'.length).split('?', 1)[0] ?? ''
      try {
        return await send({
          ...address,
          path: prefix + encoded,
          headers: { [traceField]: secret, ...(range ? { range } : {}) }
        })
      } catch (error) {
        // the answer was cut, or nothing answered
        const { code } = error as { code?: string }
        throw app.httpErrors.badGateway(`the request failed: ${code ?? 'no answer'}`)
      }
    }
  )
}

/** @throws what node:http throws, also when the answer is cut */
function send(options: http.RequestOptions): Promise<Tried> {
  return new Promise((resolve, reject) => {
    const startedAtMs = performance.now()
    const request = http.get({ ...options, agent: false, timeout: timeoutMs }, (response) => {
      const firstByteMs = elapsedMs(startedAtMs)
      const chunks: Buffer[] = []
      let length = 0
      const result = (): Tried => ({
        status: response.statusCode ?? 0,
        statusText: response.statusMessage ?? '',
        headers: pairs(response.rawHeaders),
        length,
        head: Buffer.concat(chunks).subarray(0, shownBytes).toString('base64'),
        firstByteMs,
        ms: elapsedMs(startedAtMs)
      })
      response.on('data', (chunk: Buffer) => {
        if (length < shownBytes) chunks.push(chunk)
        length += chunk.length
        if (length < maxBodyBytes) return
        resolve(result())
        response.destroy()
      })
      response.on('end', () => resolve(result()))
      response.on('error', reject)
    })
    request.on('timeout', () => request.destroy(Object.assign(new Error(), { code: 'ETIMEDOUT' })))
    request.on('error', reject)
  })
}

function elapsedMs(sinceMs: number): number {
  return Math.round((performance.now() - sinceMs) * 1000) / 1000
}

/** @param raw name, value, name, value … */
function pairs(raw: readonly string[]): [string, string][] {
  const found: [string, string][] = []
  for (let i = 0; i + 1 < raw.length; i += 2) found.push([raw[i] as string, raw[i + 1] as string])
  return found
}

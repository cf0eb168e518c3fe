/** Errors about files on the fast path, as Fastify and @fastify/sensible make them. */
import { STATUS_CODES } from 'node:http'
import type { Answer, FileRequest } from '../delivery/answer.ts'
import type { Refusal } from '../delivery/failure.ts'
import { errorFields } from '../delivery/headers.ts'
import { fieldLines } from '../delivery/sink.ts'

/**
 * 412 and 416.
 * @param corsAlways fields of cross-origin access that every answer carries
 */
export function writeError(answer: Answer, corsAlways: readonly string[]): void {
  const { request, plan } = answer
  const message = STATUS_CODES[plan.status] ?? ''
  const before = [...corsAlways, ...request.extraFields, ...errorFields(answer)]
  write(request, plan.status, message, before)
  answer.phase = 'complete'
}

/** A file that could not be opened or read, before the first byte of its answer. */
export function writeRefusal(
  request: FileRequest,
  { status, message, retryAfter }: Refusal,
  corsAlways: readonly string[]
): void {
  const retry = retryAfter === undefined ? [] : ['retry-after', `${retryAfter}`]
  write(request, status, message, [...corsAlways, ...request.extraFields, ...retry])
}

function write(
  { sink, exchange, method }: FileRequest,
  status: number,
  message: string,
  own: readonly string[]
): void {
  const body = JSON.stringify({ statusCode: status, error: STATUS_CODES[status], message })
  const id = exchange.requestId === undefined ? [] : ['x-request-id', exchange.requestId]
  const fields = [...id, ...own]
  fields.push('content-type', 'application/json; charset=utf-8', 'content-length', `${body.length}`)
  exchange.status = status
  sink.begin(status, { fields, text: fieldLines(fields) }, [])
  if (method === 'GET') sink.append(body)
  sink.end()
}

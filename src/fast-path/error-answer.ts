/** 412 and 416 on the fast path, as Fastify and @fastify/sensible make them. */
import { STATUS_CODES } from 'node:http'
import type { Answer } from '../delivery/answer.ts'
import { errorFields } from '../delivery/headers.ts'
import { fieldLines } from '../delivery/sink.ts'

/** @param corsAlways fields of cross-origin access that every answer carries */
export function writeError(answer: Answer, corsAlways: readonly string[]): void {
  const { request, plan } = answer
  const { sink, exchange, method, extraFields } = request
  const reason = STATUS_CODES[plan.status] ?? ''
  const body = JSON.stringify({ statusCode: plan.status, error: reason, message: reason })
  const id = exchange.requestId === undefined ? [] : ['x-request-id', exchange.requestId]
  const fields = [...id, ...corsAlways, ...extraFields, ...errorFields(answer)]
  fields.push('content-type', 'application/json; charset=utf-8', 'content-length', `${body.length}`)
  exchange.status = plan.status
  sink.begin(plan.status, { fields, text: fieldLines(fields) }, [])
  if (method === 'GET') sink.append(body)
  sink.end()
  answer.phase = 'complete'
}

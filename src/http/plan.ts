/** From request headers and a representation to a plan: status, headers and parts, before any byte is read. */
import { randomBytes } from 'node:crypto'
import { type BodyPart, layoutMultipart } from './multipart.ts'
import {
  evaluatePreconditions,
  ifRangeHolds,
  type PreconditionFields,
  type Validators
} from './preconditions.ts'
import { formatContentRange, formatUnsatisfiedRange, resolveRange } from './range.ts'
import type { traceField } from './trace-field.ts'

export type { BodyPart } from './multipart.ts'

/** The file that a path selects, as far as HTTP is concerned (RFC 9110 §3.2). */
export interface Representation extends Validators {
  /** bytes */
  readonly completeLength: number
  readonly contentType: string
}

/** The fields that decide about an answer, as node:http gives them. */
export interface RequestFields extends PreconditionFields {
  readonly range?: string | undefined
  /** node:http joins repeated fields to a list, which matches nothing */
  readonly 'if-range'?: string | string[] | undefined
  /** decides about no answer, but about what is told of it */
  readonly [traceField]?: string | string[] | undefined
}

export interface ResponsePlan {
  readonly status: 200 | 206 | 304 | 412 | 416
  readonly contentType: string
  /** bytes of the body, or for HEAD of the body that GET would have */
  readonly contentLength: number
  readonly contentRange: string | undefined
  /** empty for HEAD, for an empty file, and for every status but 200 and 206 */
  readonly body: readonly BodyPart[]
}

/**
 * Decide how a GET or HEAD is answered: preconditions first, then Range (RFC 9110 §13.2.2, §14.2).
 * HEAD ignores Range, which is defined for GET only.
 * @param maxRanges most ranges of one request; with more the Range header is ignored
 */
export function planResponse(
  method: 'GET' | 'HEAD',
  headers: RequestFields,
  representation: Representation,
  maxRanges: number
): ResponsePlan {
  switch (evaluatePreconditions(headers, representation)) {
    case 'not-modified':
      return withoutBody(304, representation)
    case 'precondition-failed':
      return withoutBody(412, representation)
    case 'proceed':
  }
  const { range } = headers
  if (range === undefined || method === 'HEAD') return whole(method, representation)
  const ifRange = headers['if-range']
  if (!ifRangeHolds(ifRange?.toString(), representation)) return whole(method, representation)
  return planRanges(range, representation, maxRanges)
}

function planRanges(
  field: string,
  representation: Representation,
  maxRanges: number
): ResponsePlan {
  const { completeLength, contentType } = representation
  const ranges = resolveRange(field, completeLength, maxRanges)
  if (ranges === 'whole') return whole('GET', representation)
  if (ranges === 'unsatisfiable') {
    const contentRange = formatUnsatisfiedRange(completeLength)
    return { ...withoutBody(416, representation), contentRange }
  }
  const [first] = ranges
  if (ranges.length === 1 && first !== undefined) {
    // never a multipart of one part for one range (§15.3.7.2)
    return {
      status: 206,
      contentType,
      contentLength: first.end - first.start,
      contentRange: formatContentRange(first, completeLength),
      body: ranges
    }
  }
  const boundary = randomBytes(18).toString('base64url')
  const multipart = layoutMultipart(ranges, contentType, completeLength, boundary)
  // the framing of many small parts can outgrow the file: then the file is the smaller answer
  if (multipart.contentLength >= completeLength) return whole('GET', representation)
  return { status: 206, contentRange: undefined, ...multipart }
}

function whole(method: 'GET' | 'HEAD', representation: Representation): ResponsePlan {
  const { completeLength, contentType } = representation
  const hasBody = method === 'GET' && completeLength > 0
  return {
    status: 200,
    contentType,
    contentLength: completeLength,
    contentRange: undefined,
    body: hasBody ? [{ start: 0, end: completeLength }] : []
  }
}

function withoutBody(status: 304 | 412 | 416, { contentType }: Representation): ResponsePlan {
  return { status, contentType, contentLength: 0, contentRange: undefined, body: [] }
}

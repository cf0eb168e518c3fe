/** Preconditions (RFC 9110 §13), as outcomes: nothing is answered here. */
import type { IncomingHttpHeaders } from 'node:http'
import { matchesStrongly, matchesWeakly, parseEntityTags, parseHttpDate } from './validators.ts'

export type PreconditionOutcome = 'proceed' | 'not-modified' | 'precondition-failed'

export interface Validators {
  /** strong, with its quotes */
  readonly etag: string
  /** whole seconds since the epoch, in milliseconds */
  readonly lastModifiedMs: number
}

/**
 * Evaluate the preconditions of a GET or HEAD in the order of §13.2.2.
 *
 * A list of entity-tags that cannot be read matches nothing: If-Match then fails, If-None-Match holds. A date
 * that cannot be read is ignored (§13.1.3, §13.1.4).
 */
export function evaluatePreconditions(
  headers: IncomingHttpHeaders,
  current: Validators
): PreconditionOutcome {
  const ifMatch = headers['if-match']
  const ifNoneMatch = headers['if-none-match']
  if (ifMatch !== undefined) {
    if (!listHolds(ifMatch, current, matchesStrongly)) return 'precondition-failed'
  } else {
    const unmodifiedSince = dateOf(headers['if-unmodified-since'])
    if (unmodifiedSince !== undefined && current.lastModifiedMs > unmodifiedSince) {
      return 'precondition-failed'
    }
  }
  if (ifNoneMatch !== undefined) {
    return listHolds(ifNoneMatch, current, matchesWeakly) ? 'not-modified' : 'proceed'
  }
  const modifiedSince = dateOf(headers['if-modified-since'])
  return modifiedSince !== undefined && current.lastModifiedMs <= modifiedSince
    ? 'not-modified'
    : 'proceed'
}

/**
 * Whether a Range may be honoured (§13.1.5): absent, or the very validator of the current representation. A
 * weak tag never matches, and a date must be equal, not merely later.
 */
export function ifRangeHolds(field: string | undefined, current: Validators): boolean {
  if (field === undefined) return true
  const text = field.trim()
  if (text.startsWith('"') || text.startsWith('W/')) return text === current.etag
  return dateOf(text) === current.lastModifiedMs
}

function listHolds(
  field: string,
  current: Validators,
  matches: typeof matchesStrongly | typeof matchesWeakly
): boolean {
  const tags = parseEntityTags(field)
  if (tags === undefined) return false
  return tags === '*' || tags.some((tag) => matches(tag, current.etag))
}

function dateOf(field: string | undefined): number | undefined {
  return field === undefined ? undefined : parseHttpDate(field.trim())
}

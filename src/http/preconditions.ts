/** Preconditions (RFC 9110 §13), as outcomes: nothing is answered here. */
import { matchesStrongly, matchesWeakly, parseEntityTags, parseHttpDate } from './validators.ts'

export type PreconditionOutcome = 'proceed' | 'not-modified' | 'precondition-failed'

export interface Validators {
  /** with its quotes; weak, with W/ before it, while the content may not be told from another by it */
  readonly etag: string
  /**
   * whole seconds since the epoch, in milliseconds; undefined while that second may have two contents. What is
   * there is strong as well (§8.8.2.2).
   */
  readonly lastModifiedMs: number | undefined
}

/** The fields that preconditions are made of, as node:http gives them. */
export interface PreconditionFields {
  readonly 'if-match'?: string | undefined
  readonly 'if-none-match'?: string | undefined
  readonly 'if-modified-since'?: string | undefined
  readonly 'if-unmodified-since'?: string | undefined
}

/**
 * Evaluate the preconditions of a GET or HEAD in the order of §13.2.2.
 *
 * A list of entity-tags that cannot be read matches nothing: If-Match then fails, If-None-Match holds. A date
 * that cannot be read is ignored, and so is every date while there is none to compare with (§13.1.3, §13.1.4).
 */
export function evaluatePreconditions(
  headers: PreconditionFields,
  current: Validators
): PreconditionOutcome {
  const ifMatch = headers['if-match']
  const ifNoneMatch = headers['if-none-match']
  if (ifMatch !== undefined) {
    if (!listHolds(ifMatch, current, matchesStrongly)) return 'precondition-failed'
  } else {
    const unmodifiedSince = dateOf(headers['if-unmodified-since'])
    if (isAfter(current.lastModifiedMs, unmodifiedSince)) return 'precondition-failed'
  }
  if (ifNoneMatch !== undefined) {
    return listHolds(ifNoneMatch, current, matchesWeakly) ? 'not-modified' : 'proceed'
  }
  const { lastModifiedMs } = current
  const modifiedSince = dateOf(headers['if-modified-since'])
  if (lastModifiedMs === undefined || modifiedSince === undefined) return 'proceed'
  return lastModifiedMs <= modifiedSince ? 'not-modified' : 'proceed'
}

function isAfter(dateMs: number | undefined, otherMs: number | undefined): boolean {
  return dateMs !== undefined && otherMs !== undefined && dateMs > otherMs
}

/**
 * Whether a Range may be honoured (§13.1.5): absent, or the very validator of the current representation. A
 * weak tag never matches, and a date must be equal, not merely later.
 */
export function ifRangeHolds(field: string | undefined, current: Validators): boolean {
  if (field === undefined) return true
  const text = field.trim()
  if (text.startsWith('"')) return text === current.etag
  const date = dateOf(text)
  return date !== undefined && date === current.lastModifiedMs
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

/**
 * Range and Content-Range (RFC 9110 §14). The inclusive positions of the protocol appear in this file only:
 * everywhere else a range is half-open.
 */

import type { ByteRange } from './byte-range.ts'

export type { ByteRange }

/** `whole`: there is no Range to honour. The ranges are in order of first appearance, apart from each other. */
export type RangeOutcome = 'whole' | 'unsatisfiable' | readonly ByteRange[]

/**
 * Resolve a Range field against a representation of known length.
 *
 * What the RFC lets a server choose: an invalid ranges-specifier is ignored, not rejected (§14.2); ranges that
 * overlap or touch are merged, more than `maxRanges` of them are ignored, and so are several that together
 * reach the whole representation, so that no request makes the answer larger than the file (§17.15).
 * @param field raw field value; undefined when absent
 * @param completeLength bytes, ≥ 0
 * @param maxRanges most range-specs in one field, satisfiable or not
 */
export function resolveRange(
  field: string | undefined,
  completeLength: number,
  maxRanges: number
): RangeOutcome {
  if (field === undefined) return 'whole'
  // range-unit is a token, compared without case (§14.1)
  if (!field.startsWith('bytes=') && !/^bytes=/i.test(field)) return 'whole'
  const set = field.slice(6)
  if (!set.includes(',')) {
    const resolved = resolveSpec(trim(set), completeLength)
    if (resolved === 'invalid') return 'whole'
    return resolved === 'unsatisfiable' ? resolved : [resolved]
  }
  return resolveSet(set, completeLength, maxRanges)
}

function resolveSet(set: string, completeLength: number, maxRanges: number): RangeOutcome {
  const satisfiable: ByteRange[] = []
  let specs = 0
  for (const element of set.split(',')) {
    const spec = trim(element)
    // a recipient must accept empty list elements (§5.6.1.2)
    if (spec === '') continue
    const resolved = resolveSpec(spec, completeLength)
    if (resolved === 'invalid') return 'whole'
    specs++
    if (specs > maxRanges) return 'whole'
    if (resolved !== 'unsatisfiable') satisfiable.push(resolved)
  }
  if (specs === 0) return 'whole'
  if (satisfiable.length === 0) return 'unsatisfiable'
  const merged = merge(satisfiable)
  if (satisfiable.length === 1) return merged
  const sum = merged.reduce((bytes, range) => bytes + range.end - range.start, 0)
  return sum >= completeLength ? 'whole' : merged
}

/** @param spec int-range or suffix-range of §14.1.1, without white space around */
function resolveSpec(
  spec: string,
  completeLength: number
): ByteRange | 'unsatisfiable' | 'invalid' {
  const dash = spec.indexOf('-')
  if (dash < 0 || !isDigitsOrNothing(spec, 0, dash)) return 'invalid'
  if (!isDigitsOrNothing(spec, dash + 1, spec.length)) return 'invalid'
  const hasFirst = dash > 0
  const hasLast = dash + 1 < spec.length
  // Digits beyond 2^53 are legal; as a double they are imprecise, but as far past any end of a file as before.
  const last = Number(spec.slice(dash + 1))
  if (!hasFirst) {
    if (!hasLast) return 'invalid'
    // A suffix longer than the representation selects all of it (§14.1.2). Of an empty one there is nothing
    // that a Content-Range could name, so that it counts as unsatisfiable, like every other range of it.
    if (last === 0 || completeLength === 0) return 'unsatisfiable'
    return { start: Math.max(0, completeLength - last), end: completeLength }
  }
  const first = Number(spec.slice(0, dash))
  if (hasLast && isGreater(spec.slice(0, dash), spec.slice(dash + 1))) return 'invalid'
  if (first >= completeLength) return 'unsatisfiable'
  return { start: first, end: hasLast ? Math.min(last + 1, completeLength) : completeLength }
}

function isDigitsOrNothing(text: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) {
    const code = text.charCodeAt(at)
    if (code < 0x30 || code > 0x39) return false
  }
  return true
}

/** Compare digit strings of any length as numbers. */
function isGreater(a: string, b: string): boolean {
  if (a.length <= 15 && b.length <= 15) return Number(a) > Number(b)
  return BigInt(a) > BigInt(b)
}

/** Merge ranges that overlap or touch; each result stands where its first part stood. */
function merge(ranges: readonly ByteRange[]): readonly ByteRange[] {
  if (ranges.length === 1) return ranges
  const sorted = ranges
    .map((range, place) => ({ ...range, place }))
    .sort((a, b) => a.start - b.start || a.end - b.end)
  const merged: { start: number; end: number; place: number }[] = []
  for (const range of sorted) {
    const before = merged.at(-1)
    if (before !== undefined && range.start <= before.end) {
      before.end = Math.max(before.end, range.end)
      before.place = Math.min(before.place, range.place)
    } else {
      merged.push({ ...range })
    }
  }
  return merged.sort((a, b) => a.place - b.place).map(({ start, end }) => ({ start, end }))
}

/** Optional white space of §5.6.3: spaces and tabs. */
function trim(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return start === 0 && end === text.length ? text : text.slice(start, end)
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

/** Content-Range of a 206 (§14.4): `bytes 0-99/1000`. */
export function formatContentRange(range: ByteRange, completeLength: number): string {
  return `bytes ${range.start}-${range.end - 1}/${completeLength}`
}

/** Content-Range of a 416 (§14.4). */
export function formatUnsatisfiedRange(completeLength: number): string {
  return `bytes */${completeLength}`
}

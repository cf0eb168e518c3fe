/** The only writer of the header fields of files. */
import { contentTypeOf } from '../http/content-type.ts'
import { formatHttpDate, strongEtag, weakEtag } from '../http/validators.ts'
import type { OpenFile } from '../storage/open-file.ts'
import type { Answer, Selected } from './answer.ts'
import { serverTiming } from './server-timing.ts'
import { fieldLines } from './sink.ts'

/** @param commonFields name, value, …: those that every file has in common */
export function createSelector(commonFields: readonly string[]): (file: OpenFile) => Selected {
  const known = new WeakMap<OpenFile, Selected>()
  return (file) => {
    // of what is closed at once nothing needs to be remembered
    if (!file.isKept) return describe(file, commonFields)
    let selected = known.get(file)
    if (selected?.isFinal !== true) {
      selected = describe(file, commonFields)
      known.set(file, selected)
    }
    return selected
  }
}

/** Until validators tell this content from every other, the ETag is weak and there is no Last-Modified. */
function describe({ path, size, freshness }: OpenFile, commonFields: readonly string[]): Selected {
  const { isSettled, isDated, mtimeNs, mtimeMs } = freshness
  const etag = isSettled
    ? strongEtag(size, mtimeNs)
    : weakEtag(size, mtimeNs, freshness.generation.ino)
  // towards the past, for times before 1970 as well
  const lastModifiedMs = isSettled && isDated ? Math.floor(mtimeMs / 1000) * 1000 : undefined
  const fields = ['accept-ranges', 'bytes', 'etag', etag]
  if (lastModifiedMs !== undefined) fields.push('last-modified', formatHttpDate(lastModifiedMs))
  fields.push(...commonFields)
  return {
    representation: {
      completeLength: size,
      etag,
      lastModifiedMs,
      contentType: contentTypeOf(path)
    },
    common: { fields, text: fieldLines(fields) },
    isFinal: lastModifiedMs !== undefined
  }
}

/**
 * What is this answer's own: name, value, name, value …
 * @param source of the first window, for Server-Timing; undefined without a body
 * @param timing whether Server-Timing is sent
 */
export function ownFields(
  { plan, request }: Answer,
  source: 'mapped' | 'read' | undefined,
  timing: boolean
): string[] {
  const fields: string[] = []
  if (plan.status !== 304) {
    fields.push('content-type', plan.contentType, 'content-length', `${plan.contentLength}`)
  }
  if (plan.contentRange !== undefined) fields.push('content-range', plan.contentRange)
  for (const text of request.extraFields) fields.push(text)
  const { requestId } = request.exchange
  if (requestId !== undefined) fields.push('x-request-id', requestId)
  if (timing) fields.push('server-timing', serverTiming(request.exchange, source))
  return fields
}

/** 412 and 416: what such an answer says beside its message. */
export function errorFields({ plan, selected }: Answer): string[] {
  const fields = ['etag', selected.representation.etag]
  if (plan.contentRange !== undefined) {
    fields.push('accept-ranges', 'bytes', 'content-range', plan.contentRange)
  }
  return fields
}

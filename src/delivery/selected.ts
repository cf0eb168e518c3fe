/** What a file is to HTTP: worked out once for each generation, needed by every request. */
import { contentTypeOf } from '../http/content-type.ts'
import type { Representation } from '../http/plan.ts'
import { formatHttpDate, strongEtag } from '../http/validators.ts'
import type { OpenFile } from '../storage/open-file.ts'

export interface Selected {
  readonly representation: Representation
  /** name, value, name, value …: what 200, 206 and 304 have in common */
  readonly headers: readonly string[]
}

/** @param commonHeaders that every file has in common */
export function createSelector(commonHeaders: Readonly<Record<string, string>>) {
  const known = new WeakMap<OpenFile, Selected>()
  return (file: OpenFile): Selected => {
    let selected = known.get(file)
    if (selected === undefined) {
      selected = describe(file, commonHeaders)
      known.set(file, selected)
    }
    return selected
  }
}

function describe(file: OpenFile, commonHeaders: Readonly<Record<string, string>>): Selected {
  const { mtimeNs } = file.generation
  // towards the past, for times before 1970 as well
  const lastModifiedMs = Math.floor(Number(mtimeNs / 1_000_000n) / 1000) * 1000
  const representation = {
    completeLength: file.size,
    etag: strongEtag(file.size, mtimeNs),
    lastModified: formatHttpDate(lastModifiedMs),
    lastModifiedMs,
    contentType: contentTypeOf(file.path)
  }
  const headers = {
    'accept-ranges': 'bytes',
    etag: representation.etag,
    'last-modified': representation.lastModified,
    ...commonHeaders
  }
  return { representation, headers: Object.entries(headers).flat() }
}

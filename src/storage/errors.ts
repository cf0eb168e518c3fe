/** How storage can fail; delivery/failure.ts turns each code into an error answer or into a reset connection. */

export type StorageErrorCode =
  /** nothing there that may be served: missing, not a regular file, outside the root, unreadable */
  | 'NOT_FOUND'
  /** no file descriptor, memory or other limit of the process is left; may pass */
  | 'EXHAUSTED'
  /** the storage failed to give bytes that should be there */
  | 'READ_FAILED'
  /** the file ended before its size at opening */
  | 'SHORT_READ'
  /** the file has another content than when the response began */
  | 'CHANGED'
  /** too many requests wait for the storage already */
  | 'OVERLOADED'

export class StorageError extends Error {
  readonly code: StorageErrorCode
  /** relative to the root; the only path that may be logged or shown */
  readonly path: string
  /** bytes from the beginning of the file, where the failure has a place */
  readonly offset: number | undefined
  /** the system's name of the error (EIO, EMFILE …), for the log and the counters */
  readonly reason: string

  constructor(
    code: StorageErrorCode,
    path: string,
    details: { offset?: number; reason?: string; cause?: unknown } = {}
  ) {
    super(`${code}: ${path}`, { cause: details.cause })
    this.code = code
    this.path = path
    this.offset = details.offset
    this.reason = details.reason ?? systemCode(details.cause) ?? code
  }
}

/** The system's name of an error from node:fs (ENOENT, EIO …). */
export function systemCode(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

/** How each error of a delivery ends: before the first byte in an error answer, after it in a reset. */
import type { Logger } from 'pino'
import { type Counters, countReason } from '../storage/counters.ts'
import { StorageError } from '../storage/errors.ts'
import { SendError } from './sink.ts'

/** An answer with an error status; its message is our own, never the system's. */
export interface Refusal {
  readonly status: 404 | 500 | 503
  readonly message: string
  /** seconds */
  readonly retryAfter?: number
  readonly log: { readonly level: 'debug' | 'warn' | 'error'; readonly message: string } | undefined
}

/** A limit was reached, of the storage or of the connections. */
export const overload = {
  status: 503,
  message: 'the server has too much to do',
  retryAfter: 1,
  // a line for each would add to the overload; requests_shed_total counts them
  log: undefined
} as const satisfies Refusal

/** Before the first byte: how a request is answered whose file could not be opened or read. */
export function refusalOf(error: StorageError): Refusal {
  switch (error.code) {
    case 'NOT_FOUND':
      return {
        status: 404,
        message: 'Not Found',
        log: { level: 'debug', message: 'not found' }
      }
    case 'OVERLOADED':
      return overload
    case 'EXHAUSTED':
      return {
        status: 503,
        message: 'the server is at its limits',
        retryAfter: 1,
        log: {
          level: 'error',
          message: 'out of file descriptors or memory: raise the limit of the process'
        }
      }
    case 'CHANGED':
    case 'SHORT_READ':
      return {
        status: 503,
        message: 'the file is being changed',
        retryAfter: 1,
        log: { level: 'warn', message: 'the file changes faster than it can be read' }
      }
    case 'READ_FAILED':
      return {
        status: 500,
        message: 'the file could not be read',
        log: { level: 'error', message: 'the file could not be read' }
      }
  }
}

/** Log and count an error before the first byte. @returns how it is answered */
export function refusalFor(
  error: StorageError,
  {
    log,
    counters
  }: {
    readonly log: Pick<Logger, 'debug' | 'warn' | 'error'>
    readonly counters: Pick<Counters, 'shed'>
  }
): Refusal {
  const { code, path, offset, reason } = error
  const refusal = refusalOf(error)
  if (code === 'OVERLOADED') countReason(counters.shed, reason)
  if (refusal.log !== undefined) {
    const details = { code, path, reason, ...(offset === undefined ? {} : { offset }) }
    log[refusal.log.level](details, refusal.log.message)
  }
  return refusal
}

/** After the first byte: why a connection is reset before its Content-Length is reached; a label of the counter. */
export function abortReason(
  error: unknown
): 'changed' | 'truncated' | 'read_failed' | 'client_gone' | 'other' {
  if (error instanceof SendError) return error.reason
  if (!(error instanceof StorageError)) return 'other'
  switch (error.code) {
    case 'CHANGED':
      return 'changed'
    case 'SHORT_READ':
      return 'truncated'
    case 'READ_FAILED':
    case 'NOT_FOUND':
    case 'EXHAUSTED':
    case 'OVERLOADED':
      return 'read_failed'
  }
}

/** Whether the same request may find another content when it is tried again. */
export function isChange(error: unknown): boolean {
  return error instanceof StorageError && (error.code === 'CHANGED' || error.code === 'SHORT_READ')
}

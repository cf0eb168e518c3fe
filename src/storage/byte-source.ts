/** Where the bytes of a range come from: what both modes offer, one window at a time. */
import type { OpenFile } from './open-file.ts'

/** A piece of a range, ready to be sent. */
export interface Window {
  readonly source: 'mapped' | 'read'
  /** where its bytes are in memory, for the kernel to take; valid until `release` */
  readonly address: number
  /** bytes, ≥ 1; it starts where it was asked to start and never passes the end that was asked for */
  readonly length: number
  /**
   * The bytes themselves; undefined for a mapped window. JavaScript must not touch mapped bytes: when the file
   * shrinks, that is a SIGBUS, which ends the process.
   */
  readonly copy: Buffer | undefined
  /**
   * Take the page faults of a mapped window now instead of while the kernel copies it. For measuring them: it
   * brings nothing else, and without the guard it may wait for a disk.
   */
  faultIn?(): void
  /** Exactly once; the window is invalid from then on. */
  release(): void
}

export interface ReadOptions {
  /** aborted when the client is gone: what has not begun is not begun */
  readonly signal?: AbortSignal | undefined
  /** whether to fail rather than to wait behind too many others (default: false) */
  readonly mayRefuse?: boolean | undefined
  /** whether the window was looked for in memory, and not found (default: false, which means that nobody knows) */
  readonly isCold?: boolean | undefined
  /** told how long the read has waited, in milliseconds, by what it waited for */
  readonly waited?: ((what: 'thread' | 'memory' | 'disk', ms: number) => void) | undefined
}

export interface ByteSource {
  /**
   * The window that begins at `start`, if it can be had without waiting for a disk.
   * @param start bytes from the beginning of the file
   * @param end bytes, > start, ≤ file.size
   */
  tryRead(file: OpenFile, start: number, end: number): Window | undefined

  /**
   * The same window as a copy, by way of the thread pool.
   * @throws StorageError READ_FAILED or SHORT_READ, with the offset; OVERLOADED; the signal's reason
   */
  read(file: OpenFile, start: number, end: number, options?: ReadOptions): Promise<CopiedWindow>
}

export type CopiedWindow = Window & { readonly source: 'read'; readonly copy: Buffer }

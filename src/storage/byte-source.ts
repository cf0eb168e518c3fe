/** Where the bytes of a range come from: what both modes offer, one window at a time. */
import type { OpenFile } from './open-file.ts'

/** Bytes [start, end) of a file. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

/** A piece of a range, ready to be handed to a socket. */
export interface Window {
  /** starts where it was asked to start; 1 byte or more, never past the end that was asked for */
  readonly bytes: Uint8Array
  readonly source: 'mapped' | 'read'
  /**
   * Take the page faults of a mapped window now instead of while the socket copies it. For who wants to count
   * them beforehand: it brings nothing else, and without the guard it may wait for a disk.
   */
  faultIn?(): void
  /** Exactly once, when no socket uses the bytes any more: they are invalid from then on. */
  release(): void
}

export interface ByteSource {
  /**
   * The window that begins at `start`, if it can be had without waiting for a disk.
   * @param start bytes from the beginning of the file
   * @param end bytes, > start, ≤ file.size
   */
  now(file: OpenFile, start: number, end: number): Window | undefined

  /**
   * The same window by way of the thread pool.
   * @param mayRefuse whether to fail rather than to wait behind too many others (default: false)
   * @throws StorageError READ_FAILED or SHORT_READ, with the offset; OVERLOADED
   */
  later(file: OpenFile, start: number, end: number, mayRefuse?: boolean): Promise<Window>

  /**
   * A mapped window shows what the file holds when the socket takes it, so a change can be noticed only
   * afterwards. True: the last bytes of a long answer must come from `copy`, checked before they are sent.
   */
  readonly sendsMapped: boolean
}

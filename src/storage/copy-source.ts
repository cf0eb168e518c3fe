/**
 * Windows that are copied from the page cache without a thread and without waiting for a disk. For what must not
 * or cannot be sent from a mapping: a file that changes, one of whose residency the kernel tells this process
 * nothing, one that cannot be mapped, and an answer that goes through TLS.
 */
import type { ByteSource, CopiedWindow, ReadOptions } from './byte-source.ts'
import type { Counters } from './counters.ts'
import { readCached } from './native/cached-read.ts'
import type { OpenFile } from './open-file.ts'
import { BufferWindow } from './read-source.ts'
import type { Readahead } from './readahead.ts'
import type { WindowBuffers } from './window-buffers.ts'

export interface CopySourceOptions {
  /** for what is cold */
  readonly reader: ByteSource
  readonly readahead: Readahead
  readonly buffers: WindowBuffers
  readonly counters: Counters
  /** most bytes of one window */
  readonly windowBytes: number
  /** whether so many bytes of a file are copied on the event loop; default: all are */
  readonly isCopied?: (file: OpenFile, length: number) => boolean
}

export class CopySource implements ByteSource {
  readonly #options: CopySourceOptions
  /** their file systems have no such read (FUSE, tmpfs, overlayfs): not asked again */
  readonly #refusing = new WeakSet<OpenFile>()

  constructor(options: CopySourceOptions) {
    this.#options = options
  }

  /** Whether its file system can be read in this way, as far as is known. */
  canCopy(file: OpenFile): boolean {
    return !this.#refusing.has(file)
  }

  /** Answers both questions at once, whether the window is resident and what is in it, with no gap between. */
  tryRead(file: OpenFile, start: number, end: number): CopiedWindow | undefined {
    const { readahead, counters, buffers, windowBytes, isCopied } = this.#options
    if (isCopied?.(file, end - start) === false) return undefined
    if (!this.canCopy(file)) {
      counters.checks.unknown++
      return undefined
    }
    const length = Math.min(end - start, windowBytes)
    const block = buffers.tryTake(length)
    if (block === undefined) return undefined
    const count = readCached(file.fd, block.address, length, start)
    if (count === length) {
      counters.checks.resident++
      readahead.taken(file, start, start + length, end, false)
      return new BufferWindow(block, length, buffers)
    }
    buffers.giveBack(block)
    if (count === 'unsupported') {
      this.#refusing.add(file)
      counters.checks.unknown++
    } else {
      counters.checks.cold++
    }
    return undefined
  }

  read(file: OpenFile, start: number, end: number, options?: ReadOptions): Promise<CopiedWindow> {
    return this.#options.reader.read(file, start, end, options)
  }
}

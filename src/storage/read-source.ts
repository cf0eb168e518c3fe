/** Windows by fs.read on the thread pool, into buffers that are used again. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import type { ByteSource, CopiedWindow, ReadOptions } from './byte-source.ts'
import { StorageError } from './errors.ts'
import type { OpenFile } from './open-file.ts'
import type { Readahead } from './readahead.ts'
import type { PoolShare } from './thread-pool.ts'
import type { Block, WindowBuffers } from './window-buffers.ts'

// Longer than copying any window from memory takes, shorter than a disk's answer to one.
const slowReadMs = 1

export class ReadSource implements ByteSource {
  readonly #buffers: WindowBuffers
  readonly #windowBytes: number
  readonly #pool: PoolShare
  readonly #readahead: Readahead

  /** @param windowBytes most bytes of one window */
  constructor(buffers: WindowBuffers, windowBytes: number, pool: PoolShare, readahead: Readahead) {
    this.#buffers = buffers
    this.#windowBytes = windowBytes
    this.#pool = pool
    this.#readahead = readahead
  }

  tryRead(): undefined {
    return undefined
  }

  async read(
    file: OpenFile,
    start: number,
    end: number,
    options: ReadOptions = {}
  ): Promise<CopiedWindow> {
    const askedAtMs = performance.now()
    let readMs = 0
    const window = await this.#pool.run(file.path, options, async () => {
      const length = Math.min(end - start, this.#windowBytes)
      const threadAtMs = performance.now()
      const block = await this.#buffers.take(length, options.signal)
      const startedAtMs = performance.now()
      options.waited?.('thread', threadAtMs - askedAtMs)
      options.waited?.('memory', startedAtMs - threadAtMs)
      try {
        await readWhole(file, block.buffer, start, length)
      } catch (error) {
        this.#buffers.giveBack(block)
        throw error
      }
      readMs = performance.now() - startedAtMs
      options.waited?.('disk', readMs)
      return new BufferWindow(block, length, this.#buffers)
    })
    // The next windows are read while this one is sent: a cold range then comes at the disk's speed, not one wait
    // after another.
    const isCold = options.isCold === true || readMs > slowReadMs
    this.#readahead.taken(file, start, start + window.length, end, isCold)
    return window
  }
}

/** @throws StorageError READ_FAILED, SHORT_READ with the offset */
function readWhole(file: OpenFile, into: Buffer, start: number, length: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const readFrom = (done: number) => {
      fs.read(file.fd, into, done, length - done, start + done, (error, count) => {
        const offset = start + done
        if (error) reject(new StorageError('READ_FAILED', file.path, { offset, cause: error }))
        else if (count === 0) reject(new StorageError('SHORT_READ', file.path, { offset }))
        else if (done + count < length) readFrom(done + count)
        else resolve()
      })
    }
    readFrom(0)
  })
}

/** A copied window in a buffer of the pool. */
export class BufferWindow implements CopiedWindow {
  readonly source = 'read'
  readonly address: number
  readonly length: number
  readonly copy: Buffer
  #block: Block | undefined
  readonly #buffers: WindowBuffers

  constructor(block: Block, length: number, buffers: WindowBuffers) {
    this.address = block.address
    this.length = length
    this.copy = length === block.buffer.length ? block.buffer : block.buffer.subarray(0, length)
    this.#block = block
    this.#buffers = buffers
  }

  release(): void {
    assert(this.#block !== undefined, 'a window was released twice')
    this.#buffers.giveBack(this.#block)
    this.#block = undefined
  }
}

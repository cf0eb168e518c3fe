/** Windows by fs.read on the thread pool, into buffers that are used again. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import type { ByteSource, Window } from './byte-source.ts'
import { StorageError } from './errors.ts'
import { prefetch } from './native/advice.ts'
import type { OpenFile } from './open-file.ts'
import type { StorageQueue } from './storage-queue.ts'
import type { WindowBuffers } from './window-buffers.ts'

// Longer than copying any window from memory takes, shorter than a disk's answer to one.
const slowReadMs = 1

export class ReadSource implements ByteSource {
  readonly sendsMapped = false
  readonly #buffers: WindowBuffers
  readonly #windowBytes: number
  readonly #queue: StorageQueue

  /** @param windowBytes most bytes of one window */
  constructor(buffers: WindowBuffers, windowBytes: number, queue: StorageQueue) {
    this.#buffers = buffers
    this.#windowBytes = windowBytes
    this.#queue = queue
  }

  now(): undefined {
    return undefined
  }

  async later(file: OpenFile, start: number, end: number, mayRefuse = false): Promise<ReadWindow> {
    const turn = this.#queue.enter(file.path, mayRefuse)
    if (turn !== undefined) await turn
    try {
      return await this.#read(file, start, end)
    } finally {
      this.#queue.leave(file.path)
    }
  }

  #read(file: OpenFile, start: number, end: number): Promise<ReadWindow> {
    const length = Math.min(end - start, this.#windowBytes)
    const startedAtMs = performance.now()
    const finish = () => {
      const ahead = Math.min(end - start - length, 2 * this.#windowBytes)
      // The next windows are read while this one is sent: a cold range then comes at the disk's speed, not
      // one wait after another. What came at once was in memory, and probably so is what follows.
      if (ahead > 0 && performance.now() - startedAtMs > slowReadMs) {
        prefetch(file.fd, start + length, ahead)
      }
    }
    return new Promise((resolve, reject) => {
      const buffer = this.#buffers.take(length)
      const fail = (error: StorageError) => {
        this.#buffers.giveBack(buffer)
        reject(error)
      }
      const readFrom = (done: number) => {
        fs.read(file.fd, buffer, done, length - done, start + done, (error, count) => {
          const offset = start + done
          if (error) fail(new StorageError('READ_FAILED', file.path, { offset, cause: error }))
          else if (count === 0) fail(new StorageError('SHORT_READ', file.path, { offset }))
          else if (done + count < length) readFrom(done + count)
          else {
            finish()
            resolve(new ReadWindow(buffer, length, this.#buffers))
          }
        })
      }
      readFrom(0)
    })
  }
}

/** A window in a buffer of the pool. */
export class ReadWindow implements Window {
  readonly source = 'read'
  readonly bytes: Uint8Array
  #buffer: Buffer | undefined
  readonly #buffers: WindowBuffers

  constructor(buffer: Buffer, length: number, buffers: WindowBuffers) {
    this.bytes = length === buffer.length ? buffer : buffer.subarray(0, length)
    this.#buffer = buffer
    this.#buffers = buffers
  }

  release(): void {
    assert(this.#buffer !== undefined, 'a window was released twice')
    this.#buffers.giveBack(this.#buffer)
    this.#buffer = undefined
  }
}

import { addressOf } from './libc.ts'

/**
 * An array of struct iovec (readv(2)) that is filled again for every call: addresses and lengths are numbers
 * below 2^53, written as two 32-bit words each, so that a call allocates nothing. For 64-bit, little-endian
 * machines.
 */
export class IoVector {
  /** of the first entry; valid as long as this object */
  readonly address: number
  readonly #words: Uint32Array

  constructor(entries: number) {
    const memory = Buffer.alloc(16 * entries)
    this.address = addressOf(memory)
    this.#words = new Uint32Array(memory.buffer, memory.byteOffset, 4 * entries)
  }

  /** @param address of `length` bytes, which must stay readable or writable until the call returns */
  set(entry: number, address: number, length: number): void {
    const words = this.#words
    const first = 4 * entry
    // a typed array keeps a number modulo 2^32: its lower half; division leaves the upper one
    words[first] = address
    words[first + 1] = address / 2 ** 32
    words[first + 2] = length
    words[first + 3] = length / 2 ** 32
  }
}

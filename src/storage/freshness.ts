/**
 * Whether a file is still the content that it was opened with, how old that content is, and whether it is being
 * rewritten or only grows. All that is known of it is known here.
 */
import fs, { type BigIntStats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { LRUCache } from 'lru-cache'
import { readCached } from './native/cached-read.ts'
import { addressOf } from './native/libc.ts'
import {
  fdStillHas,
  type Generation,
  type GenerationKey,
  generationKey,
  generationOf,
  pathStillNames,
  sameGeneration
} from './native/stat.ts'
import { SharedWork } from './shared-work.ts'

/**
 * How long after a change two contents may have the same mtime, which has the steps of the kernel's clock (10 ms
 * at the most, where the file system has no finer times), and one write(2), of 100 MB or so, may still be at work.
 */
export const settleMs = 50

// How long a file that was changed in place is expected to be changed in the same way again.
const habitMs = 10_000

// The file system's times have the steps of the kernel's clock, HZ = 100 at the coarsest.
const clockStepMs = 10

/** What a file's latest changes in place say about the next one. */
export type Habit = 'none' | 'grows' | 'is rewritten'

/** What is known of files whose generation has changed, for when they are opened again. */
export class ChangeHistory {
  /** by inode and by path; sizes in bytes */
  readonly #changed = new LRUCache<string, { readonly size: number; readonly habit: Habit }>({
    max: 2000,
    ttl: habitMs
  })

  /** Whether no change was seen of late, so that it has nothing to tell. */
  get isEmpty(): boolean {
    return this.#changed.size === 0
  }

  /** A generation is not that of its path any more. */
  remember(path: string, { generation, habit }: Freshness): void {
    const was = { size: Number(generation.size), habit }
    this.#changed.set(inodeOf(generation), was)
    this.#changed.set(path, was)
  }

  /** @param ageMs since the last change of what the path names now */
  habitOf(path: string, generation: Generation, ageMs: number): Habit {
    // the same inode with another content was changed in place; where it only grew, what it had is as it was
    const same = this.#changed.get(inodeOf(generation))
    if (same !== undefined) {
      const hasGrown = Number(generation.size) > same.size && same.habit !== 'is rewritten'
      return hasGrown ? 'grows' : 'is rewritten'
    }
    // what rewrote the file that had this path does so again, even after a rename
    const before = this.#changed.get(path)
    if (before === undefined) return 'none'
    return before.habit === 'is rewritten' || ageMs < settleMs ? 'is rewritten' : 'none'
  }
}

export interface FreshnessFacts {
  readonly fd: number
  readonly absolutePath: string
  readonly key: GenerationKey
  readonly habit: Habit
  /** whether its metadata can be asked for without waiting for another machine or process */
  readonly isLocal: boolean
}

export class Freshness {
  readonly habit: Habit
  readonly isLocal: boolean
  /** since the epoch, the fraction of a millisecond cut off */
  readonly mtimeMs: number
  readonly #fd: number
  readonly #absolutePath: string
  readonly #key: GenerationKey
  // made when they are needed: of most files that are asked for once they never are
  #pathBytes: Buffer | undefined
  #naming: SharedWork<boolean> | undefined
  readonly #quietFromMs: number
  #isQuiet = false
  #checkedAtMs = performance.now()

  constructor({ fd, absolutePath, key, habit, isLocal }: FreshnessFacts) {
    this.#fd = fd
    this.habit = habit
    this.isLocal = isLocal
    this.mtimeMs = key.mtimeMs
    this.#key = key
    this.#absolutePath = absolutePath
    const restlessMs = habit === 'none' ? Math.max(0, settleMs - this.ageMs()) : habitMs
    this.#quietFromMs = performance.now() + restlessMs
  }

  get generation(): Generation {
    return this.#key.generation
  }

  get mtimeNs(): bigint {
    return this.#key.mtimeNs
  }

  /** the lower half of its inode's number */
  get inode(): number {
    return this.#key.words[0] as number
  }

  /** bytes */
  get size(): number {
    return this.#key.size
  }

  /** Since its last change, as the file system tells it; a time in the future tells nothing and is Infinity. */
  ageMs(): number {
    const age = Date.now() - this.mtimeMs
    return age < 0 ? Number.POSITIVE_INFINITY : age
  }

  /**
   * Whether its mtime tells this content from every other, and no write(2) of it can still be at work: the
   * condition of a strong ETag.
   */
  get isSettled(): boolean {
    return this.#isQuiet || this.ageMs() >= settleMs
  }

  /**
   * Whether its mtime in whole seconds tells this content from every other, because that second is over: the
   * condition of a Last-Modified that may be compared strongly. Never so for a time in the future.
   * @see RFC 9110 §8.8.2.1, §8.8.2.2
   */
  get isDated(): boolean {
    return Date.now() >= (Math.floor(this.mtimeMs / 1000) + 1) * 1000 + clockStepMs
  }

  /** Whether it is expected to stay as it is for now: settled, and not changed in place lately. */
  get isQuiet(): boolean {
    if (this.#isQuiet) return true
    this.#isQuiet = performance.now() >= this.#quietFromMs
    return this.#isQuiet
  }

  /** @param withinMs whether its path was seen to name it so lately; 0: never */
  wasChecked(withinMs: number): boolean {
    return withinMs > 0 && performance.now() - this.#checkedAtMs < withinMs
  }

  /** Whether its path still names this content. Synchronous: only for a local file. */
  isStillNamed(): boolean {
    this.#pathBytes ??= Buffer.from(`${this.#absolutePath}\0`)
    return this.#checked(pathStillNames(this.#pathBytes, this.#key))
  }

  /** The same, asked on the thread pool: one question at a time, so that a slow file takes one thread. */
  async isStillNamedSlowly(signal?: AbortSignal): Promise<boolean> {
    this.#naming ??= new SharedWork(() => names(this.#absolutePath, this.generation))
    return this.#checked(await this.#naming.ask(signal))
  }

  #checked(isSame: boolean): boolean {
    if (isSame) this.#checkedAtMs = performance.now()
    return isSame
  }

  /** Whether the open file is still this content, wherever its path points now. Synchronous: only for a local file. */
  hasSameContent(): boolean {
    return fdStillHas(this.#fd, this.#key)
  }

  /** @param end bytes from the beginning of the file: how much of it an answer has promised */
  watch(end: number): ContentWatch {
    return new ContentWatch(this.#fd, this.#key, this.isLocal, this.habit, end)
  }
}

/** Bytes that were sent, or are about to be, kept to be compared. */
interface Sample {
  readonly at: number
  readonly bytes: Buffer
}

// how much a sample holds
const sampleBytes = 64
const scratch = Buffer.alloc(sampleBytes)
const scratchAddress = addressOf(scratch)
const maxSamples = 16
// How often a file may grow while its samples are compared.
const maxRounds = 5
// Pauses in which a write(2) that appends may come to its end, where other processes use the machine.
const appendMs = [1, 2, 4, 8]

/**
 * What an answer in progress asks before each step: are the bytes that it has promised still those of the content
 * that it began with? A file that was rewritten says no. One that has only grown says yes; since its mtime then
 * tells nothing of the bytes before, some of them are read again and compared.
 */
export class ContentWatch {
  readonly #fd: number
  readonly #isLocal: boolean
  readonly #end: number
  readonly #habit: Habit
  #key: GenerationKey
  /** of the content that the answer began with */
  #samples: Sample[] = []
  /** read since the last look: perhaps of another content */
  #unproven: Sample[] = []
  /** one of so many steps is sampled */
  #stride = 1
  #steps = 0

  constructor(fd: number, key: GenerationKey, isLocal: boolean, habit: Habit, end: number) {
    this.#habit = habit
    this.#fd = fd
    this.#key = key
    this.#isLocal = isLocal
    this.#end = end
  }

  /** Whether a sample is wanted for the next step: of a long answer less and less often. */
  wantsSample(): boolean {
    return this.#steps++ % this.#stride === 0
  }

  /**
   * @param at bytes from the beginning of the file
   * @param bytes of it that were read, to be compared later; the first few are kept
   */
  offer(at: number, bytes: Buffer): void {
    this.#unproven.push({ at, bytes: Buffer.from(bytes.subarray(0, sampleBytes)) })
  }

  /** The same, of bytes that are in the page cache; nothing happens where they are not. */
  sample(at: number): void {
    const length = Math.min(sampleBytes, this.#end - at)
    const count = readCached(this.#fd, scratchAddress, length, at)
    if (typeof count === 'number' && count > 0) this.offer(at, scratch.subarray(0, count))
  }

  /** The same at once, for a local file. @returns false also when it has only grown */
  holdsNow(): boolean {
    return fdStillHas(this.#fd, this.#key) && this.#prove()
  }

  /** @returns at once for a local file that has not changed */
  holds(): boolean | Promise<boolean> {
    if (!this.#isLocal) return this.#askSlowly()
    if (fdStillHas(this.#fd, this.#key)) return this.#prove()
    const now = generationOf(this.#fd)
    return now !== undefined && this.#hasOnlyGrown(now)
  }

  async #askSlowly(): Promise<boolean> {
    const now = await promisedFstat(this.#fd, { bigint: true }).catch(() => undefined)
    if (now === undefined) return false
    if (sameGeneration(now, this.#key.generation)) return this.#prove()
    return this.#hasOnlyGrown(now)
  }

  #prove(): true {
    if (this.#unproven.length === 0) return true
    this.#samples.push(...this.#unproven)
    this.#unproven = []
    if (this.#samples.length >= maxSamples) {
      this.#samples = this.#samples.filter((_, i) => i % 2 === 0)
      this.#stride *= 2
    }
    return true
  }

  async #hasOnlyGrown(now: Generation, rounds = 1): Promise<boolean> {
    const { ino, size } = this.#key.generation
    if (now.ino !== ino || now.size < size || size < BigInt(this.#end)) return false
    if (now.size === size) return this.#isBeingAppended(now, rounds)
    this.#unproven = []
    // without a byte from before, only what it did until now speaks for it
    if (this.#samples.length === 0 && this.#habit !== 'grows') return false
    for (const { at, bytes } of this.#samples) {
      const again = Buffer.alloc(bytes.length)
      const read = await promisedRead(this.#fd, again, 0, again.length, at).catch(() => undefined)
      if (read?.bytesRead !== again.length || !again.equals(bytes)) return false
    }
    const { dev, mtimeNs } = now
    this.#key = generationKey({ dev, ino, size: now.size, mtimeNs })
    // Reading them took a while: it may have grown again, or have been rewritten. What only grows passes soon.
    if (!this.#isLocal || rounds === maxRounds || fdStillHas(this.#fd, this.#key)) return true
    const next = generationOf(this.#fd)
    return next !== undefined && this.#hasOnlyGrown(next, rounds + 1)
  }

  /**
   * The kernel sets the mtime of a write(2) at its beginning, and the size only when its bytes are there. Only of a file
   * that has done nothing but grow is that believed: any other was rewritten.
   */
  async #isBeingAppended({ size }: Generation, rounds: number): Promise<boolean> {
    if (this.#habit !== 'grows' || !this.#isLocal) return false
    for (const ms of appendMs) {
      await wait(ms)
      const next = generationOf(this.#fd)
      if (next === undefined) return false
      if (next.size !== size) return this.#hasOnlyGrown(next, rounds)
    }
    return false
  }
}

const promisedRead = promisify(fs.read)
const promisedFstat = promisify(fs.fstat) as (
  fd: number,
  options: { bigint: true }
) => Promise<BigIntStats>

async function names(absolutePath: string, generation: Generation): Promise<boolean> {
  const now = await stat(absolutePath, { bigint: true }).catch(() => undefined)
  return now?.isFile() === true && sameGeneration(now, generation)
}

function inodeOf({ dev, ino }: Generation): string {
  return `${dev}:${ino}`
}

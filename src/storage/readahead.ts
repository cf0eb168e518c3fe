/**
 * Readahead for clients that read a cold file in sequence, in one answer or in many. The kernel's own is turned off
 * where files are mapped: it leaves marks in the page cache, and to touch one through a mapping waits for the disk.
 */
import { prefetch } from './native/advice.ts'
import type { OpenFile } from './open-file.ts'
import { readaheadLimit } from './readahead-limit.ts'
import type { PoolShare } from './thread-pool.ts'

/** A sequence of windows, each of which began where the one before it ended. Positions in bytes from the file's start. */
interface Sequence {
  readonly begin: number
  /** of the window that was taken last */
  start: number
  end: number
  /** of the range that it belongs to */
  rangeEnd: number
  /** requests that went on behind such a range */
  continuations: number
  /** all before it was read or prefetched */
  prefetchedEnd: number
  isPrefetching: boolean
  /** performance.now() */
  usedAtMs: number
}

/** Of one file, in the order of their last windows. */
interface Sequences {
  list: Sequence[]
  /** when those that ended were forgotten; performance.now() */
  prunedAtMs: number
}

// Keeps a disk of 500 MB/s busy for 16 ms. With more, a disk of 3 GB/s was not faster.
const maxAheadBytes = 8 * 2 ** 20
// A shorter piece is not worth a thread.
const minPieceBytes = 64 * 1024
// In one file. Of those who read 1 MiB ranges, one is forgotten when 31 others came between two of its requests.
const maxSequences = 32
// From then on more is prefetched than was asked for. The end of a long answer, which is a read of its own, is none.
const enoughContinuations = 2
// So long after its last window a sequence has ended: one that was a single range, and any other.
const singleEndsMs = 5000
const endsMs = 30_000
const pruneEveryMs = 1000

export class Readahead {
  readonly #pool: PoolShare
  readonly #crossesRanges: boolean
  /** of files that were cold lately */
  readonly #sequences = new WeakMap<OpenFile, Sequences>()

  /**
   * @param pool whose free threads are used; it is never waited for
   * @param crossesRanges false where the kernel reads ahead from one range to the next by itself, and cheaper
   */
  constructor(pool: PoolShare, crossesRanges: boolean) {
    this.#pool = pool
    this.#crossesRanges = crossesRanges
  }

  /**
   * A window was taken. Goes on with the sequence that it belongs to, if there is one; for a file that is in memory
   * this is a look into a map.
   * @param rangeEnd of the range that the window is a part of
   * @param isCold whether it came from a disk; then it may begin a sequence
   * @returns whether it belonged to a sequence
   */
  taken(file: OpenFile, start: number, end: number, rangeEnd: number, isCold: boolean): boolean {
    const sequences = this.#sequencesOf(file)
    const sequence = sequences && lastUsed(sequences, start)
    if (sequence === undefined) {
      if (isCold) this.#begin(file, sequences, start, end, rangeEnd)
      return false
    }
    sequence.usedAtMs = performance.now()
    if (start >= sequence.rangeEnd) sequence.continuations++
    sequence.rangeEnd = Math.max(sequence.rangeEnd, rangeEnd)
    sequence.start = start
    sequence.end = Math.max(sequence.end, end)
    this.#prefetch(file, sequence)
    return true
  }

  /** Whether a window that begins there comes after others of a sequence, so that it was probably read ahead. */
  goesOnAt(file: OpenFile, start: number): boolean {
    const sequences = this.#sequencesOf(file)
    // the same window again goes on with nothing
    return sequences?.some((each) => each.start < start && start <= each.end) === true
  }

  /** Without those that have ended: every request of a file that is in memory would look through them. */
  #sequencesOf(file: OpenFile): Sequence[] | undefined {
    const sequences = this.#sequences.get(file)
    if (sequences === undefined) return undefined
    const nowMs = performance.now()
    if (nowMs - sequences.prunedAtMs > pruneEveryMs) {
      sequences.prunedAtMs = nowMs
      sequences.list = sequences.list.filter((each) => {
        return nowMs - each.usedAtMs < (isSingle(each) ? singleEndsMs : endsMs)
      })
      if (sequences.list.length === 0) {
        this.#sequences.delete(file)
        return undefined
      }
    }
    return sequences.list
  }

  #begin(
    file: OpenFile,
    others: Sequence[] | undefined,
    start: number,
    end: number,
    rangeEnd: number
  ): void {
    const sequence: Sequence = {
      begin: start,
      start,
      end,
      rangeEnd,
      continuations: 0,
      prefetchedEnd: end,
      isPrefetching: false,
      usedAtMs: performance.now()
    }
    if (others === undefined) {
      this.#sequences.set(file, { list: [sequence], prunedAtMs: sequence.usedAtMs })
    } else if (others.push(sequence) > maxSequences) forgetOne(others)
    this.#prefetch(file, sequence)
  }

  /** As far ahead as the sequence is long, so that a client that stops early has caused little. */
  #prefetch(file: OpenFile, sequence: Sequence): void {
    if (sequence.isPrefetching) return
    const { begin, end, rangeEnd, continuations, prefetchedEnd } = sequence
    const crosses = this.#crossesRanges && continuations >= enoughContinuations
    const last = crosses ? file.size : rangeEnd
    const ahead = Math.min(maxAheadBytes, end - begin)
    const from = Math.max(prefetchedEnd, end)
    const to = Math.min(end + ahead, last)
    if (to <= from) return
    // half of what is ahead is on its way while the other half is taken
    const pieceBytes = Math.min(
      Math.max(minPieceBytes, Math.floor(ahead / 2)),
      readaheadLimit(file.freshness.generation.dev)
    )
    const length = Math.min(pieceBytes, to - from)
    if (length < pieceBytes && to < last) return
    if (!file.tryRetain()) return
    const done = this.#pool.tryRun(file.path, () => prefetch(file.fd, from, length))
    if (done === undefined) {
      // no thread is free: the next window tries again
      file.release()
      return
    }
    sequence.prefetchedEnd = from + length
    sequence.isPrefetching = true
    void done.then(() => {
      sequence.isPrefetching = false
      this.#prefetch(file, sequence)
      file.release()
    })
  }
}

function isSingle({ begin, start, end, rangeEnd }: Sequence): boolean {
  return begin === start && end >= rangeEnd
}

/** The oldest that was one range only, so that ranges at random do not displace the others; or the oldest. */
function forgetOne(sequences: Sequence[]): void {
  const single = sequences.findIndex(isSingle)
  // the newest has had no time to go on
  sequences.splice(single === -1 || single === sequences.length - 1 ? 0 : single, 1)
}

/** The sequence that goes on at `start`; it is moved to the end of the list. */
function lastUsed(sequences: Sequence[], start: number): Sequence | undefined {
  // a window that the kernel took in part is taken again from there
  const index = sequences.findLastIndex((each) => each.start <= start && start <= each.end)
  const sequence = sequences[index]
  if (sequence !== undefined && index < sequences.length - 1) {
    sequences.splice(index, 1)
    sequences.push(sequence)
  }
  return sequence
}

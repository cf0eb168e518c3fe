/** Reading bytes only to have them in memory: on the thread pool, a few at a time, until it is called off. */
import { setTimeout as wait } from 'node:timers/promises'
import type { ByteRange } from '../http/byte-range.ts'
import type { ByteSource } from './byte-source.ts'
import type { OpenFile } from './open-file.ts'

// Reads at once: enough to keep a disk busy, few enough to leave the pool's other threads to clients.
const lanes = 2

/**
 * @param ranges half-open, inside the file
 * @param bytesPerSecond as many as at the most; undefined: as fast as the storage gives them
 * @param signal calls it off between two windows
 * @returns bytes read; fewer than asked for only when called off
 * @throws StorageError READ_FAILED, SHORT_READ
 */
export async function warm(
  source: ByteSource,
  file: OpenFile,
  ranges: readonly ByteRange[],
  bytesPerSecond: number | undefined,
  signal: AbortSignal
): Promise<number> {
  const startedAtMs = performance.now()
  const windows = windowsOf(ranges)
  let bytes = 0
  const lane = async () => {
    for (const { start, end } of windows) {
      for (let at = start; at < end && !signal.aborted; ) {
        const window = await source.read(file, at, end)
        at += window.length
        bytes += window.length
        window.release()
        if (bytesPerSecond === undefined) continue
        const earlyMs = (bytes / bytesPerSecond) * 1000 - (performance.now() - startedAtMs)
        if (earlyMs > 0) await wait(earlyMs, undefined, { signal }).catch(() => {})
      }
      if (signal.aborted) return
    }
  }
  // the lanes share one iterator: each takes the next piece when it is done with its own
  await Promise.all(Array.from({ length: lanes }, lane))
  return bytes
}

function* windowsOf(ranges: readonly ByteRange[]): Generator<ByteRange> {
  const pieceBytes = 4 * 2 ** 20
  for (const { start, end } of ranges) {
    for (let at = start; at < end; at += pieceBytes) {
      yield { start: at, end: Math.min(at + pieceBytes, end) }
    }
  }
}

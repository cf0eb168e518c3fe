/**
 * A small answer about a file that is being changed all the time. Its mtime does not prove that a write(2) is not
 * at work at this moment; that its bytes stay the same for a while, under one mtime, does.
 */
import { createHash } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import type { ByteRange } from '../http/byte-range.ts'
import type { CopiedWindow } from '../storage/byte-source.ts'
import { StorageError } from '../storage/errors.ts'
import type { Answer } from './answer.ts'
import type { DeliveryContext } from './context.ts'

// Longer than one write(2) of a window takes; shorter than the pause of a writer that changes a file a hundred times
// a second, so that two reads can agree.
const betweenReadsMs = 1

/**
 * Only the second reading is kept: whoever holds a window must not wait for another, or all could wait for each other.
 * @param range no longer than a window
 * @returns the window of that range, proven to be of one content; the caller's to release
 * @throws StorageError CHANGED, and what reading throws, with nothing sent
 */
export async function readTwice(
  { file, request }: Answer,
  { copies }: DeliveryContext,
  { start, end }: ByteRange
): Promise<CopiedWindow> {
  const { sink, exchange } = request
  const options = {
    signal: sink.signal,
    mayRefuse: true,
    waited: exchange.waited.bind(exchange)
  }
  const read = () => copies.read(file, start, end, options)
  const first = await read()
  const digest = digestOf(first)
  first.release()
  await wait(betweenReadsMs)
  const second = await read()
  try {
    const holds = await file.freshness.watch(0).holds()
    if (!holds || !digestOf(second).equals(digest)) throw new StorageError('CHANGED', file.path)
    return second
  } catch (error) {
    second.release()
    throw error
  }
}

function digestOf({ copy }: CopiedWindow): Buffer {
  return createHash('sha256').update(copy).digest()
}

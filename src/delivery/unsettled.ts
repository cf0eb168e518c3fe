/**
 * A small answer about a file that is being changed all the time. Its mtime does not prove that a write(2) is not
 * at work at this moment; that its bytes stay the same for a while, under one mtime, does.
 */
import { setTimeout as wait } from 'node:timers/promises'
import type { BodyPart } from '../http/plan.ts'
import type { CopiedWindow } from '../storage/byte-source.ts'
import { StorageError } from '../storage/errors.ts'
import type { Answer } from './answer.ts'
import type { DeliveryContext } from './context.ts'
import { begin } from './immediate.ts'

// Longer than one write(2) of a window takes; shorter than the pause of a writer that changes a file a hundred times
// a second, so that two reads can agree.
const betweenReadsMs = 1

/** @throws StorageError CHANGED, and what reading throws, with nothing sent; SendError */
export async function readTwice(answer: Answer, context: DeliveryContext): Promise<void> {
  const { plan, request, file } = answer
  const first = await readBody(answer, context)
  await wait(betweenReadsMs)
  const second = await readBody(answer, context)
  const holds = await file.freshness.watch(0).holds()
  if (!holds || !first.equals(second)) throw new StorageError('CHANGED', file.path)
  begin(answer, context, 'read')
  await request.sink.write(first)
  const framing = plan.body.reduce(
    (sum, part) => sum + (typeof part === 'string' ? part.length : 0),
    0
  )
  request.exchange.firstByteAtMs ??= performance.now()
  context.count(request.exchange, 'read', first.length - framing)
  request.sink.end()
  answer.phase = 'complete'
}

async function readBody(
  { plan, request, file }: Answer,
  context: DeliveryContext
): Promise<Buffer> {
  const pieces: Buffer[] = []
  const { signal } = request.sink
  const each = async (part: BodyPart) => {
    if (typeof part === 'string') return void pieces.push(Buffer.from(part, 'latin1'))
    for (let at = part.start; at < part.end; ) {
      const window: CopiedWindow = await context.copies.read(file, at, part.end, { signal })
      pieces.push(Buffer.from(window.copy))
      at += window.length
      window.release()
    }
  }
  for (const part of plan.body) await each(part)
  return Buffer.concat(pieces)
}

/** An answer that needs no waiting: no body, or one window that is in memory and that the kernel takes at once. */
import type { ByteRange } from '../http/byte-range.ts'
import type { BodyPart } from '../http/plan.ts'
import type { Window } from '../storage/byte-source.ts'
import { type Answer, nameOf } from './answer.ts'
import type { DeliveryContext } from './context.ts'
import { ownFields } from './headers.ts'

/**
 * `cold`: the first window is not in memory. `long`: it takes more than one window, or more than one look. Nothing has
 * happened in either case. A number: so many bytes of the body were taken, and the others must follow.
 */
export type Immediate = 'complete' | 'cold' | 'long' | number

/** Copying a window from memory to a socket takes less, in milliseconds. */
export const slowWriteMs = 1

/**
 * The generation of the file was looked at a moment ago, and nothing else has run since. What remains between that
 * look and the kernel's copy are the microseconds of one write.
 * @throws SendError
 */
export function answerImmediately(answer: Answer, context: DeliveryContext): Immediate {
  const { plan, request } = answer
  if (plan.body.length === 0) {
    begin(answer, context, undefined)
    request.sink.end()
    answer.phase = 'complete'
    return 'complete'
  }
  const range = onlyRange(plan.body)
  if (range === undefined || range.end - range.start > context.windowBytes) return 'long'
  if (!request.sink.canSendNow) return 'long'
  return tryRange(answer, context, range)
}

function tryRange(answer: Answer, context: DeliveryContext, { start, end }: ByteRange): Immediate {
  const { file, request } = answer
  const { exchange } = request
  const read = () => {
    const found = context.source.tryRead(file, start, end)
    if (context.measuresFaults) found?.faultIn?.()
    return found
  }
  // before the head is made, which tells of them
  const window = context.measuresFaults ? exchange.measureFaults(read) : read()
  if (window === undefined) {
    exchange.coldWindows++
    return 'cold'
  }
  if (window.length < end - start || !isProven(answer, window)) {
    window.release()
    return 'long'
  }
  exchange.residentWindows++
  try {
    return send(answer, context, window)
  } finally {
    window.release()
  }
}

/** A copy was made after the look at the generation, and can be checked again; a content that changes needs more. */
function isProven({ file }: Answer, window: Window): boolean {
  if (window.copy === undefined) return true
  const { freshness } = file
  return freshness.isQuiet && freshness.isLocal && freshness.hasSameContent()
}

function send(answer: Answer, context: DeliveryContext, window: Window): Immediate {
  const { sink, exchange } = answer.request
  const startedAtMs = performance.now()
  begin(answer, context, window.source)
  const taken = sink.sendNow(window.address, window.length)
  const endedAtMs = performance.now()
  exchange.firstByteAtMs = endedAtMs
  if (endedAtMs - startedAtMs > slowWriteMs) {
    context.stalls.slow(nameOf(answer), endedAtMs - startedAtMs)
    if (window.source === 'mapped') exchange.waited('send', endedAtMs - startedAtMs)
  }
  context.count(exchange, window.source, taken)
  if (taken < window.length) return taken
  sink.end()
  answer.phase = 'complete'
  return 'complete'
}

/** Status line and header fields: from here on the answer can only be completed or aborted. */
export function begin(
  answer: Answer,
  { sendsTiming }: DeliveryContext,
  source: Window['source'] | undefined
): void {
  const { plan, request, selected } = answer
  request.exchange.status = plan.status
  request.sink.begin(plan.status, selected.common, ownFields(answer, source, sendsTiming))
  answer.phase = 'begun'
}

/** @returns undefined when the body has more than one part, or none */
export function onlyRange(body: readonly BodyPart[]): ByteRange | undefined {
  const part = body.length === 1 ? body[0] : undefined
  return typeof part === 'string' ? undefined : part
}

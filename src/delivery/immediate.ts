/** An answer that needs no waiting: no body, or ranges that are in memory and that the kernel takes at once. */
import type { ByteRange } from '../http/byte-range.ts'
import type { BodyPart } from '../http/plan.ts'
import type { Window } from '../storage/byte-source.ts'
import type { ContentWatch } from '../storage/freshness.ts'
import type { OpenFile } from '../storage/open-file.ts'
import { type Answer, nameOf } from './answer.ts'
import type { DeliveryContext } from './context.ts'
import { ownFields } from './headers.ts'

/** How much of a body the kernel has taken, when the rest must follow. */
export interface Progress {
  /** index of the part of the body that goes on; all before it was taken or waits in the sink */
  readonly part: number
  /** bytes of that part that were taken */
  readonly sent: number
  /** what watches over the content, of an answer of several ranges */
  readonly watch?: ContentWatch
}

/**
 * `cold`: the first window is not in memory. `long`: it takes more than a window in all, or more than one look. Nothing
 * has happened in either case.
 */
export type Immediate = 'complete' | 'cold' | 'long' | Progress

/** Copying a window from memory to a socket takes less, in milliseconds. */
export const slowWriteMs = 1

/**
 * The generation of the file was looked at a moment ago, and nothing else has run since. What remains between that
 * look and the kernel's copy are the microseconds of one write. Of several ranges the last is sent after another look.
 * @throws SendError
 */
export function answerImmediately(answer: Answer, context: DeliveryContext): Immediate {
  const { plan, request } = answer
  if (plan.body.length === 0) {
    begin(answer, context, undefined)
    return complete(answer)
  }
  if (plan.contentLength > context.windowBytes || !request.sink.canSendNow) return 'long'
  const range = onlyRange(plan.body)
  return range === undefined ? tryRanges(answer, context) : tryRange(answer, context, range)
}

function tryRange(answer: Answer, context: DeliveryContext, range: ByteRange): Immediate {
  const { exchange } = answer.request
  const window = windowOf(answer, context, range)
  if (window === 'cold') exchange.coldWindows++
  if (typeof window === 'string') return window
  exchange.residentWindows++
  try {
    const startedAtMs = performance.now()
    begin(answer, context, window.source)
    const taken = send(answer, context, window, startedAtMs)
    if (taken < window.length) return { part: 0, sent: taken }
  } finally {
    window.release()
  }
  return complete(answer)
}

/** All are looked for before the first is sent: a later one that is cold leaves nothing begun. */
function tryRanges(answer: Answer, context: DeliveryContext): Immediate {
  const { plan, file, request } = answer
  if (!file.freshness.isLocal) return 'long'
  const windows: Window[] = []
  try {
    for (const part of plan.body) {
      if (typeof part === 'string') continue
      const window = windowOf(answer, context, part)
      // which window is cold is known only of the first
      if (window === 'cold' && windows.length === 0) request.exchange.coldWindows++
      if (typeof window === 'string') return windows.length === 0 ? window : 'long'
      windows.push(window)
    }
    return sendParts(answer, context, windows)
  } finally {
    for (const window of windows) window.release()
  }
}

/** @param windows one for each range of the body */
function sendParts(
  answer: Answer,
  context: DeliveryContext,
  windows: readonly Window[]
): Immediate {
  const { plan, file, request } = answer
  const { exchange } = request
  const ranges = rangesOf(plan.body)
  const watch = file.freshness.watch(endOf(ranges))
  for (const { start } of ranges) watch.sample(start)
  if (!watch.holdsNow()) return 'long'
  exchange.residentWindows += windows.length
  let next = 0
  for (const [index, part] of plan.body.entries()) {
    if (typeof part === 'string') {
      if (answer.phase === 'planned') begin(answer, context, windows[0]?.source)
      request.sink.append(part)
      continue
    }
    const window = windows[next++] as Window
    // whether it has only grown is found out by the stream
    const isSame = next < windows.length || watch.holdsNow()
    const taken = isSame ? send(answer, context, window, performance.now()) : 0
    if (taken < window.length) {
      // what was not begun is looked for again
      exchange.residentWindows -= windows.length - next + (taken === 0 ? 1 : 0)
      return { part: index, sent: taken, watch }
    }
  }
  return complete(answer)
}

/** A whole range in memory, whose content is that of the answer. */
function windowOf(
  { file, request }: Answer,
  context: DeliveryContext,
  { start, end }: ByteRange
): Window | 'cold' | 'long' {
  const read = () => {
    const found = context.source.tryRead(file, start, end)
    if (context.measuresFaults) found?.faultIn?.()
    return found
  }
  // before the head is made, which tells of them
  const window = context.measuresFaults ? request.exchange.measureFaults(read) : read()
  if (window === undefined) return 'cold'
  if (window.length === end - start && isProven(file, window)) return window
  window.release()
  return 'long'
}

/** A copy was made after the look at the generation, and can be checked again; a content that changes needs more. */
function isProven({ freshness }: OpenFile, window: Window): boolean {
  if (window.copy === undefined) return true
  return freshness.isQuiet && freshness.isLocal && freshness.hasSameContent()
}

/** @returns how many bytes of the window the kernel took */
function send(
  answer: Answer,
  context: DeliveryContext,
  window: Window,
  startedAtMs: number
): number {
  const { sink, exchange } = answer.request
  const taken = sink.sendNow(window.address, window.length)
  const endedAtMs = performance.now()
  exchange.firstByteAtMs ??= endedAtMs
  if (endedAtMs - startedAtMs > slowWriteMs) {
    context.stalls.slow(nameOf(answer), endedAtMs - startedAtMs)
    if (window.source === 'mapped') exchange.waited('send', endedAtMs - startedAtMs)
  }
  context.count(exchange, window.source, taken)
  return taken
}

function complete(answer: Answer): 'complete' {
  answer.request.sink.end()
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

export function rangesOf(body: readonly BodyPart[]): readonly ByteRange[] {
  return body.filter((part): part is ByteRange => typeof part !== 'string')
}

/** Behind the last byte of the file that is among them. */
export function endOf(ranges: readonly ByteRange[]): number {
  return Math.max(...ranges.map(({ end }) => end))
}

/** @returns undefined when the body has more than one part, or none */
export function onlyRange(body: readonly BodyPart[]): ByteRange | undefined {
  const part = body.length === 1 ? body[0] : undefined
  return typeof part === 'string' ? undefined : part
}

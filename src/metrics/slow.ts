/** The latest slow answers, each with what it has waited for, in numbers and in words. */
import type { Exchange } from './exchange.ts'
import type { SlowAnswer, Waits } from './live-types.ts'

// Far above what an answer from memory takes, and about what one read of a slow disk takes.
const slowMs = 10
// A long body takes its time, also to a fast client: so much of it per millisecond is not slow (100 MB/s).
const bytesPerMs = 100_000
const kept = 100
const rangesKept = 8
// What takes less than this share of an answer's time is not told as its reason.
const shareTold = 0.1

export class SlowAnswers {
  readonly #isMapping: boolean
  readonly #answers: SlowAnswer[] = []
  /** how many there were since the process began */
  count = 0

  /** @param isMapping false with `--mode read`, in which every window is read, whether it is in memory or not */
  constructor(isMapping: boolean) {
    this.#isMapping = isMapping
  }

  /** the latest, the last one last */
  get latest(): readonly SlowAnswer[] {
    return this.#answers
  }

  /**
   * An answer about a file is over; it is kept if it was slow.
   * @param nowMs performance.now()
   */
  consider(exchange: Exchange, outcome: string, nowMs: number): void {
    const ms = nowMs - exchange.startedAtMs
    if (ms <= slowMs) return
    const firstByteMs = (exchange.firstByteAtMs ?? nowMs) - exchange.startedAtMs
    const { mappedBytes, readBytes, file, parts } = exchange
    const bytes = mappedBytes + readBytes
    if (file === undefined || (firstByteMs <= slowMs && ms <= slowMs + bytes / bytesPerMs)) return
    this.count++
    const waits = exchange.waits ?? noWaits
    const facts = {
      at: Date.now(),
      path: file.path,
      size: file.size,
      status: exchange.status,
      source: exchange.source,
      ranges: parts
        .flatMap((part) => (typeof part === 'string' ? [] : [[part.start, part.end - 1] as const]))
        .slice(0, rangesKept),
      bytes,
      ms: round(ms),
      firstByteMs: round(firstByteMs),
      residentWindows: exchange.residentWindows,
      coldWindows: exchange.coldWindows,
      outcome,
      waits: {
        open: round(waits.open),
        change: round(waits.change),
        thread: round(waits.thread),
        memory: round(waits.memory),
        disk: round(waits.disk),
        client: round(waits.client),
        send: round(waits.send),
        busy: round(Math.min(ms, exchange.busyMs()))
      }
    }
    this.#answers.push({ ...facts, reason: reasonOf(facts, this.#isMapping) })
    if (this.#answers.length > kept) this.#answers.shift()
  }
}

const noWaits: Omit<Waits, 'busy'> = {
  open: 0,
  change: 0,
  thread: 0,
  memory: 0,
  disk: 0,
  client: 0,
  send: 0
}

/**
 * @param isMapping whether a window that was read had been cold; otherwise all are read
 * @returns such as `2 of 3 windows were cold: 38 ms from disk, 12 ms waiting for a thread`
 */
export function reasonOf(
  answer: Pick<
    SlowAnswer,
    'ms' | 'waits' | 'residentWindows' | 'coldWindows' | 'outcome' | 'firstByteMs'
  >,
  isMapping: boolean
): string {
  const { ms, waits, residentWindows, coldWindows, outcome } = answer
  const matters = (part: number) => part >= Math.max(1, ms * shareTold)
  const parts: string[] = []
  const reading = [
    matters(waits.disk) && `${told(waits.disk)} from disk`,
    matters(waits.thread) && `${told(waits.thread)} waiting for a thread`,
    matters(waits.memory) && `${told(waits.memory)} waiting for buffer memory`
  ].filter((part) => part !== false)
  if (reading.length > 0) {
    parts.push(`${windows(residentWindows, coldWindows, isMapping)}: ${reading.join(', ')}`)
  }
  if (matters(waits.client)) {
    parts.push(`the client was slow: ${told(waits.client)} until it took what was sent`)
  }
  if (matters(waits.send)) {
    parts.push(
      `the event loop was stopped: ${told(waits.send)} in a write from the mapping, as by pages that were not in memory`
    )
  }
  if (matters(waits.change)) {
    parts.push(`the file was being changed: ${told(waits.change)} until it stayed the same`)
  }
  if (matters(waits.open)) parts.push(`opening the file took ${told(waits.open)}`)
  // the event loop works for this answer too; it is a reason where it is most of the time, or all that is left
  const isBusy = waits.busy > ms / 2 && !matters(waits.send)
  if (isBusy || parts.length === 0) {
    parts.push(`the event loop was busy: ${told(waits.busy)}`)
  }
  const text = parts.join('; ')
  return outcome === 'complete' ? text : `${outcomeWords(outcome)}; ${text}`
}

function windows(resident: number, cold: number, isMapping: boolean): string {
  const all = resident + cold
  const [verb, noun] = [cold === 1 ? 'was' : 'were', all === 1 ? 'window' : 'windows']
  if (!isMapping) return `${cold} ${noun} ${verb} read`
  return `${cold} of ${all} ${noun} ${verb} cold`
}

function outcomeWords(outcome: string): string {
  switch (outcome) {
    case 'client_gone':
      return 'the client went before the end'
    case 'changed':
      return 'cut, because the file was changed'
    case 'truncated':
      return 'cut, because the file became shorter'
    case 'read_failed':
      return 'cut, because the file could not be read'
    default:
      return 'cut'
  }
}

function told(ms: number): string {
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

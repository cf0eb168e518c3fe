/**
 * The log: lines on stdout that never make the event loop wait. What a slow reader has not taken is kept up to a
 * bound, and lines beyond it are dropped and counted.
 */
import { constants, fstatSync, openSync } from 'node:fs'
import pino, { type Logger } from 'pino'
import type { LogCounts } from '../metrics/log-lines.ts'
import { setNonBlocking } from '../storage/native/non-blocking.ts'

// Up to so many bytes a write to a pipe is not torn apart by the writes of other workers. See pipe(7), PIPE_BUF.
const mostBytesAtOnce = 4096
// of lines that wait for the reader: some seconds of a busy service
const mostWaitingBytes = 4 * 2 ** 20
// how long the end of the process waits for the reader to take the rest
const endTimeoutMs = 1000

export interface Output {
  readonly log: Logger
  readonly counts: LogCounts
  /** Writes what waits; nothing is logged afterwards. */
  end(): Promise<void>
}

/** @param shown what is written of a line of pino */
export function openLog(level: string, fd = 1, shown = asciiOnly): Output {
  const counts = { dropped: 0 }
  let isOver = false
  let hasGivenUp = false
  const sink = pino.destination({
    dest: withoutWaiting(fd),
    sync: false,
    maxWrite: mostBytesAtOnce,
    maxLength: mostWaitingBytes,
    retryEAGAIN: () => !hasGivenUp
  })
  sink.on('drop', () => counts.dropped++)
  let isBroken = false
  sink.on('error', (error: NodeJS.ErrnoException) => {
    // nobody reads it any more: that is no reason to stop serving
    isBroken = error.code === 'EPIPE'
  })
  const write = (line: string) => {
    if (!isOver) sink.write(shown(line))
  }
  const end = async () => {
    if (isOver || isBroken) return
    isOver = true
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        hasGivenUp = true
        sink.destroy()
      }, endTimeoutMs)
      sink.once('close', () => {
        clearTimeout(timer)
        resolve()
      })
      sink.end()
    })
  }
  return { log: pino({ level }, { write }), counts, end }
}

/**
 * A pipe or a terminal is opened once more, so that a write to it fails where it would have to wait, and other programs
 * that share it do not notice. Of a socket (journald, a parent that is a Node program) each program has its own end.
 * Everything else is a file, which is written on the thread pool, one write at a time.
 */
function withoutWaiting(fd: number): number {
  const kind = fstatSync(fd)
  if (kind.isSocket()) setNonBlocking(fd)
  if (!kind.isFIFO() && !kind.isCharacterDevice()) return fd
  try {
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants
    return openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY)
  } catch {
    // it is another user's, as in a container
    if (kind.isFIFO()) setNonBlocking(fd)
    return fd
  }
}

/**
 * What clients send is in the strings of a line. JSON escapes what ends a line in ASCII; some readers take U+0085 and
 * U+2028 for line ends too, and terminals obey U+009B.
 * @param line one JSON text
 */
export function asciiOnly(line: string): string {
  if (!isBeyondAscii.test(line)) return line
  return line.replace(eachBeyondAscii, (unit) => {
    return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

// with DEL, which terminals obey as well
const isBeyondAscii = /[\u007f-\uffff]/
const eachBeyondAscii = /[\u007f-\uffff]/g

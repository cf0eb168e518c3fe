/** The log: lines on stdout that never make the event loop wait, and that nothing a client sends can forge. */
import { constants, fstatSync, openSync } from 'node:fs'
import { hostname } from 'node:os'
import pino from 'pino'
import { type AccessLogger, asciiOnly } from '../metrics/access-line.ts'
import type { LogCounts } from '../metrics/log-lines.ts'
import { setNonBlocking } from '../storage/native/non-blocking.ts'
import { LineWriter } from './line-writer.ts'

// of lines that wait for the reader: some seconds of a busy service
const mostWaitingBytes = 4 * 2 ** 20
// how long the end of the process waits for the reader to take the rest
const endTimeoutMs = 1000

export interface Output {
  readonly log: AccessLogger
  readonly counts: LogCounts
  /** Writes what waits; nothing is logged afterwards. */
  end(): Promise<void>
}

/** @param shown what is written of a line of JSON; default: the line, in ASCII */
export function openLog(level: string, fd = 1, shown?: (line: string) => string): Output {
  const lines = new LineWriter({ ...withoutWaiting(fd), mostWaitingBytes })
  const base = { pid: process.pid, hostname: hostname() }
  const ownMembers = asciiOnly(JSON.stringify(base)).slice(1, -1)
  let isOver = false
  const write = (line: string) => {
    if (!isOver) lines.write(shown === undefined ? asciiOnly(line) : shown(line))
  }
  let head = ''
  let headAtMs = 0
  /** As pino would write it. */
  const logAccess = (members: string) => {
    if (isOver) return
    const nowMs = Date.now()
    if (nowMs !== headAtMs) {
      headAtMs = nowMs
      head = `{"level":${pino.levels.values.info},"time":${nowMs},${ownMembers},`
    }
    const line = `${head}${members},"msg":"access"}\n`
    lines.write(shown === undefined ? line : shown(line))
  }
  const end = async () => {
    if (isOver) return
    isOver = true
    await lines.end(endTimeoutMs)
  }
  const log = Object.assign(pino({ level, base }, { write }), { logAccess })
  return { log, counts: lines, end }
}

/**
 * A pipe or a terminal is opened once more, so that a write to it fails where it would have to wait, and other programs
 * that share it do not notice. Of a socket (journald, a parent that is a Node program) each program has its own end.
 * Everything else is a file, which is written on the thread pool, one write at a time.
 */
function withoutWaiting(fd: number): { fd: number; isNonBlocking: boolean } {
  const kind = fstatSync(fd)
  if (kind.isSocket()) setNonBlocking(fd)
  if (!kind.isFIFO() && !kind.isCharacterDevice()) return { fd, isNonBlocking: kind.isSocket() }
  try {
    const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants
    const again = openSync(`/proc/self/fd/${fd}`, O_WRONLY | O_NONBLOCK | O_NOCTTY)
    return { fd: again, isNonBlocking: true }
  } catch {
    // it is another user's, as in a container
    if (kind.isFIFO()) setNonBlocking(fd)
    return { fd, isNonBlocking: kind.isFIFO() }
  }
}

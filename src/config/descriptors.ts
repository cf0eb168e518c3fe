/** File descriptors: how many connections they are enough for. */
import { readFileSync } from 'node:fs'

// what Node, the log, the listening sockets and the ops port have
const ownDescriptors = 48
const mostConnections = 10_000

/**
 * Each connection takes a descriptor, and its request may need another for a file.
 * @param limits text of /proc/self/limits, see proc_pid_limits(5)
 */
export function affordableConnections(limits = readLimits()): number {
  // Node has raised the soft limit to the hard one when it started
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
  if (soft === undefined) return mostConnections // unlimited, or not told
  return Math.max(8, Math.min(mostConnections, Math.floor((Number(soft) - ownDescriptors) / 2)))
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8')
  } catch {
    return ''
  }
}

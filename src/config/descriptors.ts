/** File descriptors: how many connections and open files they are enough for. */
import { readFileSync } from 'node:fs'

// what Node, the log, the listening sockets and the ops port have
const ownDescriptors = 48
const mostConnections = 10_000

// Kept free of connections, so that metrics, the log and the system's own files can still be opened: a share, at
// most so many.
const reservedShare = 1 / 8
const mostReserved = 16

/**
 * Each connection takes a descriptor, and its request may need another for a file.
 * @param limits text of /proc/self/limits, see proc_pid_limits(5)
 */
export function affordableConnections(limits = readLimits()): number {
  return Math.max(
    8,
    Math.min(mostConnections, Math.floor((softLimit(limits) - ownDescriptors) / 2))
  )
}

/**
 * Open files that may be kept: what is left by half as many connections again as are affordable, for so many are
 * open before they are reset. A file that is merely kept must not take the last descriptor, for then the kernel
 * has none for the next connection.
 */
export function affordableFiles(limits = readLimits()): number {
  return Math.max(8, Math.floor((softLimit(limits) - ownDescriptors) / 4))
}

/** Descriptors are given out from the lowest one: a connection that gets this one or a higher one is too many. */
export const firstReservedDescriptor = reserveBelow(softLimit(readLimits()))

function reserveBelow(limit: number): number {
  return limit - Math.min(mostReserved, Math.floor(limit * reservedShare))
}

/** @returns Infinity where there is none, or where it is not told */
function softLimit(limits: string): number {
  // Node has raised the soft limit to the hard one when it started
  return Number(/^Max open files\s+(\d+)/m.exec(limits)?.[1] ?? Number.POSITIVE_INFINITY)
}

function readLimits(): string {
  try {
    return readFileSync('/proc/self/limits', 'utf8')
  } catch {
    return ''
  }
}

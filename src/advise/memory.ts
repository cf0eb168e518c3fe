/** How much memory there is for pages of files. */
import fs from 'node:fs'
import os from 'node:os'

export interface Memory {
  readonly totalBytes: number
  /** of the cgroup; undefined: there is none */
  readonly limitBytes: number | undefined
  /** what pages of files may take without that others are swapped out, within the limit */
  readonly availableBytes: number
}

/** @param memInfo of proc_meminfo(5) */
export function memoryOf(
  memInfo = fs.readFileSync('/proc/meminfo', 'utf8'),
  constrained = process.constrainedMemory(),
  totalBytes = os.totalmem()
): Memory {
  // without a limit it is 0, undefined or a number beyond all memory, by version
  const hasLimit = constrained !== undefined && constrained > 0 && constrained < totalBytes
  const limitBytes = hasLimit ? constrained : undefined
  const available = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(memInfo)?.[1] ?? Number.NaN) * 1024
  const free = Number.isNaN(available) ? totalBytes : available
  return { totalBytes, limitBytes, availableBytes: Math.min(free, limitBytes ?? free) }
}

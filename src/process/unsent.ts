/**
 * What the kernel still has to send when a process ends. Usually it goes on sending after that. A container's
 * network ends with its first process, and what was not sent by then is lost.
 */
import { readFile } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'

const checkMs = 50

/**
 * Waits until what was written on connections to a port has been acknowledged by the other side.
 * @param timeoutMs after which what is left is left
 */
export async function untilSent(port: number, timeoutMs: number): Promise<void> {
  const endMs = performance.now() + timeoutMs
  while (performance.now() < endMs) {
    const tables = await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map(readTable))
    if (tables.every((table) => unsentBytes(table, port) === 0)) return
    await wait(checkMs)
  }
}

/**
 * @param table as in /proc/net/tcp, with connections that no process holds any more
 * @param port at this end
 * @returns bytes in send queues
 * @see proc(5)
 */
export function unsentBytes(table: string, port: number): number {
  const hexPort = port.toString(16).toUpperCase().padStart(4, '0')
  let bytes = 0
  for (const line of table.split('\n').slice(1)) {
    const [, local, , , queues] = line.trim().split(/\s+/)
    if (local?.endsWith(`:${hexPort}`) !== true) continue
    bytes += Number.parseInt(queues?.split(':')[0] ?? '0', 16)
  }
  return bytes
}

async function readTable(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch {
    return '' // IPv6 can be off
  }
}

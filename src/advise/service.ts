/** The service itself: its modes, each started as a process of its own. */
import path from 'node:path'
import readline from 'node:readline'
import { packageFolder } from '../config/package.ts'
import type { Mode, Server, Start } from './modes.ts'
import { launch, stopper } from './processes.ts'

export const ownModes: readonly Mode[] = [
  { name: 'mmap', says: 'from mappings, guarded', args: ['--mode', 'mmap'] },
  {
    name: 'mmap-unguarded',
    says: 'from mappings, the textbook way',
    args: ['--mode', 'mmap', '--guard', 'off']
  },
  { name: 'read', says: 'fs.read into buffers', args: ['--mode', 'read'] }
]

/**
 * @param name of the mode, for the user
 * @param own arguments of the mode
 * @throws Error when it does not come up
 */
export async function startService(
  name: string,
  own: readonly string[],
  { root, workers = 1, isPinned = workers === 1, limit }: Start
): Promise<Server> {
  const main = path.join(packageFolder, 'dist', 'main.js')
  const args = ['--root', root, '--port', '0', '--ops-port', '0', '--workers', `${workers}`]
  const child = launch({
    command: [process.execPath, main, ...args, ...own],
    isPinned,
    limit
  })
  if (child.stdout === null) throw new Error('a pipe is always made')
  for await (const line of readline.createInterface({ input: child.stdout })) {
    const record = logRecord(line)
    if (record?.msg !== 'listening') continue
    // the rest of the log is read, so that a full pipe does not stop the service, and not shown
    child.stdout.resume()
    return {
      filesUrl: record.url,
      metricsUrl: `${record.opsUrl}/metrics`,
      pid: child.pid,
      signal: () => child.signalCode ?? undefined,
      stop: stopper(child)
    }
  }
  throw new Error(`the service (${name}) ended before it listened`)
}

function logRecord(line: string): { msg: string; url: string; opsUrl: string } | undefined {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

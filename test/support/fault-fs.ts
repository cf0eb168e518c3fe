/** Mounts fault-fs.c, compiled here; see there for what the names of its files mean. */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { projectFolder } from './project.ts'
import { type Lifetime, tempFolder, until } from './serve.ts'

export interface Faults {
  /** each read of slow-* */
  readonly slowMs?: number
  /** each opening of slow-*, and each question about it */
  readonly metaMs?: number
  /** from which byte on bad-* fails */
  readonly badFrom?: number
}

/** Why it cannot be mounted here; undefined: it can. */
export function whyNoFaultFs(): string | undefined {
  if (process.getuid?.() !== 0) return 'it takes root to mount a file system for others'
  if (!fs.existsSync('/dev/fuse')) return 'there is no /dev/fuse'
  if (spawnSync('pkg-config', ['--exists', 'fuse3']).status !== 0) {
    return 'libfuse3 and pkg-config are not installed (libfuse3-dev, pkg-config)'
  }
  return spawnSync('cc', ['--version']).status === 0 ? undefined : 'there is no C compiler'
}

/**
 * @param fill puts files into the folder that is shown
 * @returns where they can be read, with nothing of them in memory
 */
export async function mountFaultFs(
  t: Lifetime,
  { slowMs = 0, metaMs = 0, badFrom = 0 }: Faults,
  fill: (folder: string) => void
): Promise<string> {
  // before the folder's own end, which is told first and removes it
  let unmount = async () => {}
  t.after(() => unmount())
  const folder = tempFolder(t)
  const [program, source, mountpoint] = ['fault-fs', 'source', 'mounted'].map((name) =>
    path.join(folder, name)
  ) as [string, string, string]
  fs.chmodSync(folder, 0o755)
  fs.mkdirSync(source)
  fs.mkdirSync(mountpoint)
  fill(source)
  const code = path.join(projectFolder, 'test', 'support', 'fault-fs.c')
  const flags = execFileSync('pkg-config', ['--cflags', '--libs', 'fuse3'], { encoding: 'utf8' })
  execFileSync('cc', ['-O2', '-o', program, code, ...flags.trim().split(/\s+/)])
  // default_permissions: the kernel tells mincore(2) of others no more than on a disk
  const words = [source, mountpoint, '-f', '-o', 'allow_other,default_permissions,max_threads=64']
  const env = { ...process.env, SLOW_MS: `${slowMs}`, META_MS: `${metaMs}`, BAD_FROM: `${badFrom}` }
  const child = spawn(program, words, { env, stdio: ['ignore', 'ignore', 'inherit'] })
  unmount = async () => {
    spawnSync('fusermount3', ['-u', '-z', mountpoint])
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }
  const deviceBefore = fs.statSync(folder).dev
  await until('it is mounted', () => fs.statSync(mountpoint).dev !== deviceBefore)
  return mountpoint
}

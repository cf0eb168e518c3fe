/** A memory cgroup for a server, so that data can be larger than memory without filling the machine's. */
import fs from 'node:fs'
import path from 'node:path'
import { LeftOut } from './left-out.ts'

export interface MemoryLimit {
  /** who writes its process id there is in the group */
  readonly file: string
  /** after the last process has left */
  remove(): void
}

/**
 * @param scenario that needs it
 * @see cgroups(7); version 1 and 2
 * @throws LeftOut where no group can be made
 */
export function limitMemory(bytes: number, scenario: string): MemoryLimit {
  const { parent, limitFile } = memoryGroup()
  const folder = path.join(parent, `range-load-${process.pid}`)
  try {
    fs.mkdirSync(folder)
    fs.writeFileSync(path.join(folder, limitFile), `${bytes}`)
  } catch (error) {
    // its files are the kernel's and cannot be removed one by one
    if (fs.existsSync(folder)) fs.rmdirSync(folder)
    const { code } = error as NodeJS.ErrnoException
    throw new LeftOut(
      scenario,
      `no memory cgroup can be made here (${code}); it takes root, or a delegated one`
    )
  }
  return {
    file: path.join(folder, 'cgroup.procs'),
    remove: () => {
      try {
        fs.rmdirSync(folder)
      } catch {
        // the last process has not left yet; an empty group costs nothing
      }
    }
  }
}

function memoryGroup(): { parent: string; limitFile: string } {
  const lines = fs.readFileSync('/proc/self/cgroup', 'utf8').split('\n')
  const own = (isIt: (controllers: string) => boolean) =>
    lines.map((line) => line.split(':')).find(([, controllers]) => isIt(controllers ?? '-'))?.[2]
  const first = own((controllers) => controllers.split(',').includes('memory'))
  if (first !== undefined) {
    const mount = '/sys/fs/cgroup/memory'
    // in a container the own group is what is mounted
    const parent = fs.existsSync(path.join(mount, first)) ? path.join(mount, first) : mount
    return { parent, limitFile: 'memory.limit_in_bytes' }
  }
  const second = own((controllers) => controllers === '') ?? '/'
  const mount = '/sys/fs/cgroup'
  // a group with processes of its own cannot hand controllers on, so the new one stands beside it
  const parent = path.dirname(path.join(mount, second))
  return { parent: parent.startsWith(mount) ? parent : mount, limitFile: 'memory.max' }
}

/** The memory that the processes of this cgroup take, and may take. Pages of files count in it. */
import { readFileSync } from 'node:fs'
import { mount, type ReadText, upwards } from '../config/cpus.ts'
import type { CgroupMemory } from './live-types.ts'

interface Files {
  readonly used: string
  readonly limit: string
  /** line of memory.stat with the pages of files */
  readonly fileLine: RegExp
  /** no limit: v1 shows the largest multiple of a page */
  readonly noLimit: (limit: number) => boolean
}

const v2: Files = {
  used: 'memory.current',
  limit: 'memory.max',
  fileLine: /^file (\d+)$/m,
  noLimit: Number.isNaN
}
const v1: Files = {
  used: 'memory.usage_in_bytes',
  limit: 'memory.limit_in_bytes',
  fileLine: /^total_cache (\d+)$/m,
  noLimit: (limit) => !(limit < 2 ** 60)
}

/**
 * Of the cgroup with the lowest limit, among the one that this process is in and those above it; without a limit, of
 * the one that it is in.
 * @returns null where there is none
 * @see cgroups(7), and Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of the kernel
 */
export function cgroupMemory(readText: ReadText = readFile): CgroupMemory | null {
  let found: CgroupMemory | null = null
  for (const { folder, files } of groups(readText)) {
    const used = Number(readText(`${folder}/${files.used}`) ?? Number.NaN)
    if (Number.isNaN(used)) continue
    const limit = Number(readText(`${folder}/${files.limit}`) ?? Number.NaN)
    const limitBytes = files.noLimit(limit) ? null : limit
    if (found !== null && (limitBytes ?? Infinity) >= (found.limitBytes ?? Infinity)) continue
    const stat = readText(`${folder}/memory.stat`) ?? ''
    const fileBytes = Number(files.fileLine.exec(stat)?.[1] ?? 0)
    found = { usedBytes: used, fileBytes, limitBytes }
  }
  return found
}

function groups(readText: ReadText): { readonly folder: string; readonly files: Files }[] {
  return (readText('/proc/self/cgroup') ?? '').split('\n').flatMap((line) => {
    const [, controllers, group] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (controllers === undefined || group === undefined) return []
    if (controllers === '') return upwards(mount, group).map((folder) => ({ folder, files: v2 }))
    if (!controllers.split(',').includes('memory')) return []
    return upwards(`${mount}/memory`, group).map((folder) => ({ folder, files: v1 }))
  })
}

function readFile(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

/** How many CPUs this process may use: those of the machine, its affinity, and what its cgroup grants. */
import { readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'

/** @returns the text of a file, undefined where it cannot be read */
export type ReadText = (file: string) => string | undefined

export const mount = '/sys/fs/cgroup'

/**
 * What `--workers auto` means. A part of a CPU is left to the thread pool and the kernel: of 2.5 CPUs, two
 * event loops can be busy all the time, and a third would be stopped by the scheduler in the middle of its work.
 * @returns at least 1
 */
export function grantedCpus(
  readText: ReadText = readFile,
  cpus = os.availableParallelism()
): number {
  return Math.max(1, Math.min(cpus, Math.floor(cgroupCpus(readText))))
}

/**
 * The CPU limit of the cgroup that this process is in, or of one above it, whichever is lowest.
 * @returns CPUs, Infinity without a limit
 * @see cgroups(7), and Documentation/admin-guide/cgroup-v2.rst and scheduler/sched-bwc.rst of the kernel
 */
export function cgroupCpus(readText: ReadText): number {
  let lowest = Number.POSITIVE_INFINITY
  for (const line of (readText('/proc/self/cgroup') ?? '').split('\n')) {
    const [, controllers, group] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    if (controllers === undefined || group === undefined) continue
    if (controllers === '') {
      for (const folder of upwards(mount, group)) {
        lowest = Math.min(lowest, parseCpuMax(readText(`${folder}/cpu.max`)))
      }
    } else if (controllers.split(',').includes('cpu')) {
      for (const folder of upwards(`${mount}/${controllers}`, group)) {
        lowest = Math.min(lowest, readQuota(readText, folder))
      }
      for (const folder of upwards(`${mount}/cpu`, group)) {
        lowest = Math.min(lowest, readQuota(readText, folder))
      }
    }
  }
  return lowest
}

/** @param text of cpu.max of cgroup v2: `max 100000`, or quota and period in µs */
export function parseCpuMax(text: string | undefined): number {
  const [quota, period] = (text ?? '').trim().split(/\s+/)
  return ratio(quota, period)
}

function readQuota(readText: ReadText, folder: string): number {
  return parseCfsQuota(
    readText(`${folder}/cpu.cfs_quota_us`),
    readText(`${folder}/cpu.cfs_period_us`)
  )
}

/** @param quota, period texts of cpu.cfs_quota_us (-1: no limit) and cpu.cfs_period_us of cgroup v1, in µs */
export function parseCfsQuota(quota: string | undefined, period: string | undefined): number {
  return ratio(quota?.trim(), period?.trim())
}

function ratio(quota: string | undefined, period: string | undefined): number {
  const isNumber = /^[1-9]\d{0,14}$/
  if (!isNumber.test(quota ?? '') || !isNumber.test(period ?? '')) return Number.POSITIVE_INFINITY
  return Number(quota) / Number(period)
}

/** The group's folder and all above it: in a container the path may be that of the machine, of which only the mount is seen. */
export function upwards(root: string, group: string): string[] {
  const names = path.posix
    .normalize(`/${group}`)
    .split('/')
    .filter((name) => name !== '')
  return [...names.map((_, i) => [root, ...names.slice(0, names.length - i)].join('/')), root]
}

function readFile(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}

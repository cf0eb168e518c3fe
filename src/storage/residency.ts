/**
 * Whether the kernel's answer about resident pages can be believed for a file. mincore(2) tells the truth
 * only to a process that owns the file or may write to it; to all others it claims that every page is resident.
 */
import { readFileSync } from 'node:fs'
import { mayAskResidency } from './native/residency.ts'

/**
 * @param fd of the open file
 * @param uid user id of its owner
 * @param isLocal whether asking the kernel cannot wait for another process or machine
 * @returns false when in doubt
 */
export function mayTrustResidency(fd: number, uid: number, isLocal: boolean): boolean {
  const answer = isLocal ? mayAskResidency(fd) : undefined
  return answer ?? hasOwnersRights(uid)
}

/**
 * The same by the file's owner alone, for where the kernel cannot be asked: no cachestat(2), a seccomp filter, or a
 * file system that may keep the caller waiting. It does not count who may write the file by its mode.
 * @param uid of the file's owner, as stat(2) shows it to this process
 */
export function hasOwnersRights(uid: number): boolean {
  if (hasFileOwnerCapability) return true
  // Inside a user namespace every owner who is not mapped there looks like the overflow user.
  return uid === effectiveUser && (areAllUsersMapped || uid !== overflowUser)
}

const effectiveUser = process.geteuid?.() ?? -1

/** @see user_namespaces(7) */
const areAllUsersMapped =
  readText('/proc/self/uid_map').trim().split(/\s+/).join(' ') === '0 0 4294967295'

/** @see proc_sys_kernel(5), overflowuid */
const overflowUser = Number(readText('/proc/sys/kernel/overflowuid').trim() || 65_534)

/**
 * CAP_FOWNER gives a process the rights of the owner, but inside a user namespace only for users mapped there:
 * it counts only where all users are.
 * @see capabilities(7), user_namespaces(7)
 */
const hasFileOwnerCapability = (() => {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readText('/proc/self/status'))?.[1]
  const CAP_FOWNER = 3n
  return areAllUsersMapped && ((BigInt(`0x${effective ?? '0'}`) >> CAP_FOWNER) & 1n) === 1n
})()

/** @returns empty where it cannot be read */
function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

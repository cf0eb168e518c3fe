/**
 * Whether the kernel's answer about resident pages can be believed for a file. mincore(2) tells the truth
 * only to a process that owns the file or may write to it; to all others it claims that every page is resident.
 */
import { type BigIntStats, readFileSync } from 'node:fs'
import { mayAskResidency } from './native/residency.ts'

/**
 * @param fd of the open file
 * @param isLocal whether asking the kernel cannot wait for another process or machine
 * @returns false when in doubt
 */
export function mayTrustResidency(fd: number, stats: BigIntStats, isLocal: boolean): boolean {
  const answer = isLocal ? mayAskResidency(fd) : undefined
  return answer ?? (stats.uid === effectiveUser || hasFileOwnerCapability)
}

const effectiveUser = BigInt(process.geteuid?.() ?? -1)

/**
 * CAP_FOWNER gives a process the rights of the owner, but inside a user namespace only for users mapped there:
 * it counts only where all users are.
 * @see capabilities(7), user_namespaces(7)
 */
const hasFileOwnerCapability = (() => {
  try {
    const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(
      readFileSync('/proc/self/status', 'utf8')
    )?.[1]
    const mapping = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/)
    const CAP_FOWNER = 3n
    const isHeld = ((BigInt(`0x${effective ?? '0'}`) >> CAP_FOWNER) & 1n) === 1n
    return isHeld && mapping.join(' ') === '0 0 4294967295'
  } catch {
    return false
  }
})()

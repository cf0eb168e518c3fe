/** Keeping pages in memory by mlock(2): the kernel does not reclaim them as long as they are locked and mapped. */
import { errno, errorName, libc } from './libc.ts'

// <asm-generic/mman-common.h>: lock pages as they come in, and bring none in
const MLOCK_ONFAULT = 1

/**
 * Count an extent of a mapping as locked, without waiting for a page: those that come in stay.
 * @param address a multiple of the page size, as `mapAddress` gives it
 * @param length bytes
 * @returns undefined when it is done; otherwise the kernel's reason: ENOMEM or EPERM beyond RLIMIT_MEMLOCK, EAGAIN
 * @see mlock2(2), MLOCK_ONFAULT (Linux 4.4)
 */
export function lockOnFault(address: number, length: number): string | undefined {
  return libc.mlock2(address, length, MLOCK_ONFAULT) === 0 ? undefined : errorName(errno())
}

/**
 * Bring in the pages of an extent that `lockOnFault` has locked, on the thread pool, because that may wait for a disk.
 * @returns whether all of them are there; false where the file has ended or its disk has failed
 * @see mlock(2)
 */
export function bringInLocked(address: number, length: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    libc.mlock.async(address, length, (error: Error | null, result: number) => {
      if (error) reject(error)
      else resolve(result === 0)
    })
  })
}

/** @see munlock(2) */
export function unlock(address: number, length: number): void {
  libc.munlock(address, length)
}

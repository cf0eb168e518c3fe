/** How much the kernel reads ahead at one call. */
import { readFileSync } from 'node:fs'
import { deviceMajor, deviceMinor } from './native/stat.ts'

const KiB = 1024
// what Linux sets where nobody has set anything else: VM_READAHEAD_PAGES of <linux/mm.h>
const standardKiB = 128

// by device; a few numbers of sysfs, which no disk is asked for
const known = new Map<bigint, number>()

/**
 * The kernel cuts one call to read ahead, without telling, at the larger of the device's read-ahead window and its
 * largest transfer.
 * @param dev of a file on the device
 * @returns bytes, ≥ 128 KiB
 * @see mm/readahead.c force_page_cache_ra
 */
export function readaheadLimit(dev: bigint): number {
  const limit = known.get(dev)
  if (limit !== undefined) return limit
  const device = `${deviceMajor(dev)}:${deviceMinor(dev)}`
  const numbers = [
    `/sys/class/bdi/${device}/read_ahead_kb`,
    `/sys/dev/block/${device}/queue/read_ahead_kb`,
    `/sys/dev/block/${device}/queue/max_sectors_kb`,
    // a partition has the queue of its disk
    `/sys/dev/block/${device}/../queue/read_ahead_kb`,
    `/sys/dev/block/${device}/../queue/max_sectors_kb`
  ].map(numberIn)
  const bytes = Math.max(standardKiB, ...numbers) * KiB
  known.set(dev, bytes)
  return bytes
}

function numberIn(file: string): number {
  try {
    return Number.parseInt(readFileSync(file, 'utf8'), 10) || 0
  } catch {
    return 0
  }
}

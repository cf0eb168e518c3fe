/**
 * The page size of this machine, without native code: options are checked, and --help is answered, before any
 * of it is loaded.
 */
import { readFileSync } from 'node:fs'
import os from 'node:os'

// <linux/auxvec.h>, the same on every architecture
const AT_NULL = 0
const AT_PAGESZ = 6
// The largest page of any Linux on which Node runs (arm64 and ppc64le have it).
const largestPageBytes = 64 * 1024

/**
 * What the offset of a mapping must be a multiple of: the page size. Where the kernel does not tell it, 64 KiB:
 * page sizes are powers of two, so a multiple of the largest is a multiple of each. The usual 4 KiB would let
 * through what a machine with larger pages cannot map.
 */
export const pageBytes = readPageBytes() ?? largestPageBytes

function readPageBytes(): number | undefined {
  try {
    return pageBytesIn(readFileSync('/proc/self/auxv'))
  } catch {
    return undefined // without /proc, or when it belongs to root in a process that changed its user
  }
}

/**
 * @param vector pairs of a type and a value, each an unsigned long of this machine, up to the type AT_NULL
 * @param wordBytes size of an unsigned long
 * @returns undefined when the vector does not tell it
 * @see getauxval(3), proc_pid_auxv(5)
 */
export function pageBytesIn(
  vector: Uint8Array,
  wordBytes = longBytes(),
  isLittleEndian = os.endianness() === 'LE'
): number | undefined {
  const view = new DataView(vector.buffer, vector.byteOffset, vector.byteLength)
  const word = (at: number) =>
    wordBytes === 8
      ? Number(view.getBigUint64(at, isLittleEndian))
      : view.getUint32(at, isLittleEndian)
  for (let at = 0; at + 2 * wordBytes <= vector.byteLength; at += 2 * wordBytes) {
    const type = word(at)
    if (type === AT_NULL) return undefined
    if (type === AT_PAGESZ) return word(at + wordBytes)
  }
  return undefined
}

function longBytes(): 4 | 8 {
  return ['arm', 'ia32', 'mips', 'mipsel'].includes(process.arch) ? 4 : 8
}

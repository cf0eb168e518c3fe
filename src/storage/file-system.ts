/** Whether a file system can be asked without a wait for another machine or process. */
import { statfs } from 'node:fs/promises'
import { uniqueMountId } from './native/stat.ts'

// statfs(2) f_type of file systems whose metadata is in this machine's memory or on its disks, <linux/magic.h>
const localFileSystems = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // XFS
  0x9123683e, // Btrfs
  0x01021994, // tmpfs
  0x858458f6, // ramfs
  0x794c7630, // overlayfs
  0xf2f52010, // F2FS
  0x2fc12fc1, // ZFS
  0xca451a4e, // bcachefs
  0x73717368, // squashfs
  0xe0f5e1e2, // EROFS
  0x9660, // ISO 9660
  0x4d44, // FAT
  0x2011bab0, // exFAT
  0x52654973 // ReiserFS
])

/**
 * @param path of a folder or file; asked about on the thread pool
 * @throws the system's error when nothing is there
 */
export async function isLocalPath(path: string): Promise<boolean> {
  const { type } = await statfs(path)
  // f_type is a signed 32-bit number on some platforms
  return localFileSystems.has(type >>> 0)
}

/** What is known of a mount from an open file of it; undefined: it was not asked about yet. */
export function isKnownLocal(mount: bigint | undefined): boolean | undefined {
  return mount === undefined ? undefined : localByMount.get(mount)
}

// Mounts come and go on a machine with an automounter; no service uses so many at a time.
const maxKnown = 1000
// a mount never changes its file system, and its unique number never means another mount: true for ever
const localByMount = new Map<bigint, boolean>()

/**
 * The same of an open file. Answered from memory for a mount that was asked about before, where the kernel tells
 * mounts apart; before Linux 6.8 it is asked every time.
 * @param fd open until the answer has come
 * @throws the system's error
 */
export async function isLocalFileSystem(
  fd: number,
  mountIdOf: (fd: number) => bigint | undefined = uniqueMountId
): Promise<boolean> {
  const mount = mountIdOf(fd)
  const known = isKnownLocal(mount)
  if (known !== undefined) return known
  const isLocal = await isLocalPath(`/proc/self/fd/${fd}`)
  if (mount !== undefined) {
    if (localByMount.size >= maxKnown) localByMount.clear()
    localByMount.set(mount, isLocal)
  }
  return isLocal
}

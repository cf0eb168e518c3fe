/** What files are: their owner, their file system, what of them is in memory; and a folder that has only them. */
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { isLocalFileSystem } from '../storage/file-system.ts'
import { mayTrustResidency } from '../storage/residency.ts'
import { mapResidency } from '../storage/residency-map.ts'

export interface FileFacts {
  readonly path: string
  readonly sizeBytes: number
  readonly isOwn: boolean
  /** whether the kernel tells this user what of the file is in memory */
  readonly isTrusted: boolean
  readonly isLocal: boolean
  /** such as ext4; undefined where it cannot be told */
  readonly fileSystem: string | undefined
  /** undefined: the kernel does not tell this user */
  readonly residentBytes: number | undefined
}

/** @throws the system's error */
export async function factsOf(file: string): Promise<FileFacts> {
  const fd = fs.openSync(file, 'r')
  try {
    const stats = fs.fstatSync(fd, { bigint: true })
    const isLocal = await isLocalFileSystem(fd)
    const isTrusted = mayTrustResidency(fd, Number(stats.uid), isLocal)
    return {
      path: file,
      sizeBytes: Number(stats.size),
      isOwn: Number(stats.uid) === process.geteuid?.(),
      isTrusted,
      isLocal,
      fileSystem: fileSystemOf(file, fs.readFileSync('/proc/self/mountinfo', 'utf8')),
      residentBytes: await residentBytes(fd, Number(stats.size), isTrusted)
    }
  } finally {
    fs.closeSync(fd)
  }
}

/** Of a file that the kernel tells this user about. @throws the system's error */
export async function residentShare(file: string): Promise<number | undefined> {
  const { residentBytes: resident, sizeBytes } = await factsOf(file)
  return resident === undefined ? undefined : resident / sizeBytes
}

async function residentBytes(fd: number, size: number, isTrusted: boolean) {
  const { residentBytes } = await mapResidency({ fd, isTrusted }, 0, size, 1)
  return residentBytes ?? undefined
}

/**
 * @param mountInfo of proc_pid_mountinfo(5)
 * @returns the type of the mount with the longest mount point above the file
 */
export function fileSystemOf(file: string, mountInfo: string): string | undefined {
  let best: { point: string; type: string } | undefined
  for (const line of mountInfo.split('\n')) {
    const [before = '', after] = line.split(' - ')
    const type = after?.split(' ')[0]
    // blanks of a mount point are written in octal
    const point = before
      .split(' ')[4]
      ?.replace(/\\(\d{3})/g, (_, digits: string) =>
        String.fromCharCode(Number.parseInt(digits, 8))
      )
    if (type === undefined || point === undefined) continue
    const isAbove = file === point || file.startsWith(point === '/' ? '/' : `${point}/`)
    // of two mounts on the same point the later one is seen
    if (isAbove && point.length >= (best?.point.length ?? 0)) best = { point, type }
  }
  return best?.type
}

export interface ServedFolder {
  readonly root: string
  /** of each file, below the root */
  readonly names: readonly string[]
  /** only the files themselves; otherwise their folder, with whatever else it has */
  readonly isPrivate: boolean
  remove(): void
}

/**
 * A folder that has the files and nothing else: hard links, which are the same pages in memory. Where there can be
 * none, the folder that the files are in.
 * @throws Error in words for the user, when they are in several folders and cannot be linked
 */
export function folderOf(files: readonly string[]): ServedFolder {
  const names = files.map((file, index) => `${index}-${path.basename(file)}`)
  for (const parent of [os.tmpdir(), path.dirname(files[0] as string)]) {
    const root = linkAll(files, names, parent)
    if (root === undefined) continue
    const remove = () => fs.rmSync(root, { recursive: true, force: true })
    return { root, names, isPrivate: true, remove }
  }
  const folders = [...new Set(files.map((file) => path.dirname(file)))]
  if (folders.length > 1) {
    throw new Error(
      'files of several folders must be linked into one, which this user may not do: run it as their owner, or with files of one folder'
    )
  }
  const root = folders[0] as string // of at least one file
  return {
    root,
    names: files.map((file) => path.basename(file)),
    isPrivate: false,
    remove: () => {}
  }
}

/** @returns undefined where one of them cannot be linked: another file system, or another's file */
function linkAll(
  files: readonly string[],
  names: readonly string[],
  parent: string
): string | undefined {
  let root: string | undefined
  try {
    root = fs.mkdtempSync(path.join(parent, 'range-advise-'))
    for (const [index, file] of files.entries()) {
      fs.linkSync(file, path.join(root, names[index] as string))
    }
    return root
  } catch {
    if (root !== undefined) fs.rmSync(root, { recursive: true, force: true })
    return undefined
  }
}

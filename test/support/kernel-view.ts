/** What the kernel holds of a file on behalf of a process, and the page cache as a tool: for tests only. */
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { map, revoke } from '#src/storage/native/mapping.ts'
import { isResident } from '#src/storage/native/residency.ts'

type Pid = number | 'self'

/** A line of /proc/PID/maps that names a file. */
export interface MappedExtent {
  /** bytes of address space */
  readonly length: number
  /** bytes from the beginning of the file */
  readonly offset: number
}

/** The mapped extents of a file, replaced or deleted ones under its old name included. */
export function mappedExtents(file: string, pid: Pid = 'self'): MappedExtent[] {
  return fs
    .readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .flatMap((line) => extentIn(line, file) ?? [])
}

/** What a line of /proc/PID/maps says, if it is of a certain file. */
function extentIn(line: string, file: string): MappedExtent | undefined {
  const match = /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \d+ +(.*)$/.exec(line)
  if (match === null || !isNameOf(match[4] as string, file)) return undefined
  const [start, end, offset] = match.slice(1, 4).map((digits) => Number.parseInt(digits, 16))
  return { length: (end as number) - (start as number), offset: offset as number }
}

/** Those mapped extents of a file of which at least one page was accessed through the mapping. */
export function touchedExtents(file: string, pid: Pid = 'self'): MappedExtent[] {
  const touched: MappedExtent[] = []
  let extent: MappedExtent | undefined
  for (const line of fs.readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) extent = extentIn(line, file)
    else if (extent !== undefined && /^Rss: +[1-9]/.test(line)) touched.push(extent)
  }
  return touched
}

/** Bytes of a file that are locked in memory through mappings of it. */
export function lockedBytes(file: string, pid: Pid = 'self'): number {
  let locked = 0
  let isOfFile = false
  for (const line of fs.readFileSync(`/proc/${pid}/smaps`, 'utf8').split('\n')) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) isOfFile = extentIn(line, file) !== undefined
    else if (isOfFile && line.startsWith('Locked:')) locked += Number.parseInt(line.slice(7), 10)
  }
  return locked * 1024
}

export function mappedBytes(file: string, pid: Pid = 'self'): number {
  return mappedExtents(file, pid).reduce((sum, extent) => sum + extent.length, 0)
}

/** How many descriptors of a file, or of all files below a folder, a process has. */
export function descriptors(path: string, pid: Pid = 'self'): number {
  let count = 0
  for (const fd of fs.readdirSync(`/proc/${pid}/fd`)) {
    try {
      const name = fs.readlinkSync(`/proc/${pid}/fd/${fd}`)
      if (isNameOf(name, path) || name.startsWith(`${path}/`)) count++
    } catch {
      // closed since the folder was read
    }
  }
  return count
}

function isNameOf(name: string, file: string): boolean {
  return name === file || name === `${file} (deleted)`
}

/** A field of /proc/PID/status that is an amount of memory, in bytes. */
export function memory(field: 'RssAnon' | 'VmSize', pid: Pid = 'self'): number {
  const status = fs.readFileSync(`/proc/${pid}/status`, 'utf8')
  const match = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)
  return Number(match?.[1]) * 1024
}

/** Write a file's dirty pages out and drop all its pages from the page cache, without mapping it. */
export function dropPages(file: string): void {
  const words = ['if=/dev/null', `of=${file}`, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0']
  // on a read-only file system nothing is dirty, and reading is all there is
  const { status } = spawnSync('dd', words)
  if (status !== 0) spawnSync('dd', [`if=${file}`, 'iflag=nocache', 'count=0'])
}

/** Whether either end of a file is in memory: if so after dropping, its file system keeps its pages. */
export function hasResidentPages(file: string): boolean {
  const fd = fs.openSync(file, 'r')
  const { size } = fs.fstatSync(fd)
  const mapping = map(fd, 0, size)
  const isAny = isResident(mapping, 0, 1) || isResident(mapping, size - 1, size)
  revoke(mapping)
  fs.closeSync(fd)
  return isAny
}

/** Bring a part of a file into the page cache; all of it when no length is given. */
export function warm(file: string, offset = 0, length = Number.POSITIVE_INFINITY): void {
  const fd = fs.openSync(file, 'r')
  const buffer = Buffer.alloc(2 ** 20)
  let at = offset
  for (;;) {
    const wanted = Math.min(buffer.length, offset + length - at)
    const count = wanted > 0 ? fs.readSync(fd, buffer, 0, wanted, at) : 0
    if (count === 0) break
    at += count
  }
  fs.closeSync(fd)
}

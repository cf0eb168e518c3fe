/** The files that are measured, and their place in memory. */
import { execFile } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface Data {
  /** the folder that is served */
  readonly root: string
  /** the file whose ranges are measured */
  readonly name: string
  readonly bytes: number
  /** a second file, for readers in the background */
  readonly backgroundName: string
  readonly backgroundBytes: number
  /** undefined when the file is the user's own, which stays */
  readonly temporaryFolder: string
}

const hotBytes = 128 * 2 ** 20
const backgroundBytes = 512 * 2 ** 20

/**
 * @param file the user's own, which is linked and never written to; undefined: one of random bytes is made
 * @param parent where there is room; it should be on a disk, not in memory
 * @throws Error in words for the user, when there is too little room
 */
export function makeData(file: string | undefined, parent: string): Data {
  const wanted = backgroundBytes + (file === undefined ? hotBytes : 0)
  const { bavail, bsize } = fs.statfsSync(parent)
  if (bavail * bsize < wanted * 1.1) {
    throw new Error(
      `${Math.round((bavail * bsize) / 2 ** 20)} MiB are free for data; ${Math.round((wanted * 1.1) / 2 ** 20)} MiB are needed (--data DIR: another place)`
    )
  }
  const temporaryFolder = fs.mkdtempSync(path.join(parent, 'load-data-'))
  try {
    const name = file === undefined ? 'hot.bin' : path.basename(file)
    // a user's file is served where it is, and its folder with it for as long as the run takes
    const root = temporaryFolder
    if (file === undefined) fillRandom(path.join(root, name), hotBytes)
    else linkOrCopy(file, path.join(root, name))
    fillRandom(path.join(root, 'background.bin'), backgroundBytes)
    const { size } = fs.statSync(path.join(root, name))
    return {
      root,
      name,
      bytes: size,
      backgroundName: 'background.bin',
      backgroundBytes,
      temporaryFolder
    }
  } catch (error) {
    removeData({ temporaryFolder })
    throw error
  }
}

export function removeData({ temporaryFolder }: Pick<Data, 'temporaryFolder'>): void {
  fs.rmSync(temporaryFolder, { recursive: true, force: true })
}

function linkOrCopy(file: string, to: string): void {
  try {
    fs.linkSync(file, to)
  } catch {
    fs.copyFileSync(file, to, fs.constants.COPYFILE_FICLONE)
  }
}

function fillRandom(file: string, bytes: number): void {
  const fd = fs.openSync(file, 'wx')
  const chunk = Buffer.alloc(8 * 2 ** 20)
  for (let at = 0; at < bytes; at += chunk.length) fs.writeSync(fd, randomFillSync(chunk), 0)
  fs.fsyncSync(fd)
  fs.closeSync(fd)
}

/** Put a file out of memory; it must not be mapped by anyone. @see posix_fadvise(2), by way of dd(1) */
export async function dropFromMemory(file: string): Promise<void> {
  await run('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none'])
}

/** Read a file into memory. */
export async function bringIntoMemory(file: string): Promise<void> {
  for await (const chunk of fs.createReadStream(file, { highWaterMark: 2 ** 20 })) void chunk
}

export function machine() {
  return {
    kernel: os.release(),
    cpu: os.cpus()[0]?.model ?? 'unknown',
    cpus: os.cpus().length,
    memoryBytes: os.totalmem(),
    node: process.version
  }
}

/** The files that are measured, and their place in memory. */
import { randomFillSync } from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { smallFile } from '#src/advise/access.ts'
import type { Scenario } from './scenarios.ts'

const MiB = 2 ** 20
// of the small files the size of each
const sizes = { main: 256 * MiB, large: 768 * MiB, shrinking: 64 * MiB, small: 16 * 1024 } as const
const smallFileCount = 20_000
const warmUpBytes = 8 * MiB

export interface Data {
  /** the folder that is served, to be removed */
  readonly root: string
  /** of `small` those of each file */
  readonly bytes: Readonly<Record<Scenario['file'], number>>
  readonly smallFiles: number
  /** in memory, to warm servers up without touching what is cold */
  readonly warmUp: { readonly name: string; readonly bytes: number }
}

export function fileOf({ root }: Data, file: Scenario['file']): string {
  return path.join(root, nameOf(file))
}

export function nameOf(file: Scenario['file']): string {
  return file === 'small' ? 'small/' : `${file}.bin`
}

/** The files that a trial is about. */
export function filesOf(data: Data, file: Scenario['file']): readonly string[] {
  const place = fileOf(data, file)
  if (file !== 'small') return [place]
  return Array.from({ length: data.smallFiles }, (_, index) => path.join(place, smallFile(index)))
}

/**
 * @param file the user's own, which is linked or copied and never written to; undefined: random bytes
 * @param parent where there is room; it should be on a disk, not in memory
 * @throws Error in words for the user, when there is too little room
 */
export function makeData(
  file: string | undefined,
  parent: string,
  scenarios: readonly Scenario[]
): Data {
  const needsLarge = scenarios.some((each) => each.file === 'large' || each.background)
  const smallFiles = scenarios.some((each) => each.file === 'small') ? smallFileCount : 0
  const bytes = {
    ...sizes,
    main: file === undefined ? sizes.main : fs.statSync(file).size,
    large: needsLarge ? sizes.large : 0
  }
  if (bytes.main < MiB) throw new Error('the file is too small: at least 1 MiB is needed')
  const wanted = bytes.main + bytes.large + bytes.shrinking + smallFiles * bytes.small + warmUpBytes
  const { bavail, bsize } = fs.statfsSync(parent)
  if (bavail * bsize < wanted * 1.1) {
    const inMiB = (count: number) => Math.round(count / MiB)
    throw new Error(
      `too little room for data: ${inMiB(wanted * 1.1)} MiB are needed and ${inMiB(bavail * bsize)} MiB are free (--data DIR: another place)`
    )
  }
  const root = fs.mkdtempSync(path.join(parent, 'load-data-'))
  const data = { root, bytes, smallFiles, warmUp: { name: 'warm-up.bin', bytes: warmUpBytes } }
  try {
    const main = fileOf(data, 'main')
    if (file === undefined) fillRandom(main, bytes.main)
    else linkOrCopy(file, main)
    if (needsLarge) fillRandom(fileOf(data, 'large'), bytes.large)
    makeSmall(data)
    fillRandom(path.join(root, data.warmUp.name), warmUpBytes)
    return data
  } catch (error) {
    removeData(data)
    throw error
  }
}

function makeSmall(data: Data): void {
  const bytes = Buffer.alloc(data.bytes.small)
  for (const file of filesOf(data, 'small')) {
    fs.mkdirSync(path.dirname(file), { recursive: true })
    fs.writeFileSync(file, randomFillSync(bytes))
  }
}

/** Anew for each trial, because each cuts it. */
export function makeShrinking(data: Data): void {
  const file = fileOf(data, 'shrinking')
  fs.rmSync(file, { force: true })
  fillRandom(file, data.bytes.shrinking)
}

export function removeData({ root }: Data): void {
  fs.rmSync(root, { recursive: true, force: true })
}

function linkOrCopy(file: string, to: string): void {
  try {
    fs.linkSync(fs.realpathSync(file), to)
  } catch {
    // another file system, or a file of somebody else
    fs.copyFileSync(file, to, fs.constants.COPYFILE_FICLONE)
  }
}

function fillRandom(file: string, bytes: number): void {
  const fd = fs.openSync(file, 'wx')
  const chunk = Buffer.alloc(8 * MiB)
  for (let at = 0; at < bytes; at += chunk.length) {
    fs.writeSync(fd, randomFillSync(chunk), 0, Math.min(chunk.length, bytes - at))
  }
  fs.fsyncSync(fd)
  fs.closeSync(fd)
}

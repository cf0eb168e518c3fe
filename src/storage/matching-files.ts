/** The files below a folder that a glob names. */
import type { Dirent } from 'node:fs'
import { readdir, realpath, stat } from 'node:fs/promises'
import path from 'node:path'
import picomatch from 'picomatch'

export interface Matching {
  /** the folder that globs are relative to */
  readonly root: string
  /** whether globs match names that begin with a dot */
  readonly dotfiles: 'allow' | 'deny'
}

/**
 * Links are followed. What cannot be read is left out.
 * @returns paths of files relative to the root, sorted
 */
export async function matchingFiles(
  glob: string,
  { root, dotfiles }: Matching
): Promise<readonly string[]> {
  const dot = dotfiles === 'allow'
  // no more of the tree is looked at than can match
  const { base, glob: rest } = picomatch.scan(glob)
  if (rest === '') return (await isFile(path.join(root, base))) ? [path.normalize(base)] : []
  const matches = picomatch(glob, { dot })
  const found: string[] = []
  for await (const file of filesBelow(root, base === '.' ? '' : base, [])) {
    if (matches(file)) found.push(file)
  }
  return found.sort()
}

/** @param above real paths of the folders that lead here, so that no link leads around in a circle */
async function* filesBelow(
  root: string,
  folder: string,
  above: readonly string[]
): AsyncGenerator<string> {
  const here = path.join(root, folder)
  let real: string
  let entries: Dirent[]
  try {
    real = await realpath(here)
    entries = await readdir(here, { withFileTypes: true })
  } catch {
    return
  }
  if (above.includes(real)) return
  for (const entry of entries) {
    const name = path.join(folder, entry.name)
    const kind = entry.isSymbolicLink()
      ? await stat(path.join(root, name)).catch(() => entry)
      : entry
    if (kind.isFile()) yield name
    else if (kind.isDirectory()) yield* filesBelow(root, name, [...above, real])
  }
}

function isFile(file: string): Promise<boolean> {
  return stat(file).then(
    (stats) => stats.isFile(),
    () => false
  )
}

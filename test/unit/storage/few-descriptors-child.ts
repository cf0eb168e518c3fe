/** Run by catalog.test.ts with a limit of 64 descriptors: opens more files than that. */
import fs from 'node:fs'
import { join } from 'node:path'
import { Catalog } from '#src/storage/catalog.ts'
import { StorageError } from '#src/storage/errors.ts'
import type { OpenFile } from '#src/storage/open-file.ts'

const fileCount = 200

void main(process.argv[2] as string)

async function main(root: string): Promise<void> {
  for (let index = 0; index < fileCount; index++)
    fs.writeFileSync(join(root, `${index}`), 'content')
  const catalog = await Catalog.open({
    root,
    symlinks: 'within',
    dotfiles: 'allow',
    maxOpenFiles: 1000,
    maxWaiting: 1000,
    smallFileBytes: 0,
    revalidateMs: 0,
    whenRetired: () => {}
  })
  const opened = await openAll(catalog)
  const { held, error } = await holdUntilExhausted(catalog)
  // who is already being served is not disturbed
  const readableWhileFull = held.every((file) => {
    return fs.readSync(file.fd, Buffer.alloc(7), 0, 7, 0) === 7
  })
  for (const file of held) file.release()
  const recovered = await openAll(catalog)
  catalog.close()
  const { code, reason } = error
  console.log(
    JSON.stringify({ opened, held: held.length, code, reason, readableWhileFull, recovered })
  )
}

/** @returns how many files could be opened, one after the other */
async function openAll(catalog: Catalog): Promise<number> {
  for (let index = 0; index < fileCount; index++) {
    const file = await catalog.open(`${index}`)
    file.release()
  }
  return fileCount
}

async function holdUntilExhausted(
  catalog: Catalog
): Promise<{ held: OpenFile[]; error: StorageError }> {
  const held: OpenFile[] = []
  for (let index = 0; ; index++) {
    try {
      held.push(await catalog.open(`${index}`))
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      return { held, error }
    }
  }
}

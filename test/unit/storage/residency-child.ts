/** Run by residency.test.ts as another user: says what it is told about a cold file, then reads it. */
import fs from 'node:fs'
import { join } from 'node:path'
import { readCached } from '#src/storage/native/cached-read.ts'
import { addressOf } from '#src/storage/native/libc.ts'
import { map, revoke } from '#src/storage/native/mapping.ts'
import { pageBytes } from '#src/storage/native/page-size.ts'
import { isResident } from '#src/storage/native/residency.ts'
import { mayTrustResidency } from '#src/storage/residency.ts'
import { openStorage } from '#src/storage/storage.ts'
import { bytesOf } from '../../support/memory.ts'
import { patternBytes } from '../../support/serve.ts'

void main(process.argv[2] as string)

async function main(root: string): Promise<void> {
  const { catalog, source, regions } = await openStorage({
    root,
    mode: 'mmap',
    isGuarded: true,
    windowBytes: 2 ** 16,
    regionBytes: 2 ** 24,
    maxMappedBytes: 2 ** 30,
    maxOpenFiles: 10,
    maxWaitingReads: 1000,
    maxBufferedBytes: 2 ** 26,
    revalidateMs: 0,
    symlinks: 'within',
    dotfiles: 'allow',
    smallBytes: 0
  })
  const file = await catalog.open('cold')
  const expected = patternBytes(0, file.size)
  let isRight = true

  // asked before anything is read, because reading brings pages in
  const mapping = map(file.fd, 0, file.size)
  const mincoreSaysResident = isResident(mapping, file.size - pageBytes, file.size)
  revoke(mapping)
  const page = Buffer.alloc(pageBytes)
  const isLastPageCached =
    readCached(file.fd, addressOf(page), pageBytes, file.size - pageBytes) === pageBytes
  const { uid } = fs.statSync(join(root, 'cold'))

  /** where the windows come from, in the order of first appearance */
  async function takeAll(): Promise<string[]> {
    const sources = new Set<string>()
    for (let at = 0; at < file.size; ) {
      const window = source.tryRead(file, at, file.size) ?? (await source.read(file, at, file.size))
      const end = at + window.length
      if (Buffer.compare(bytesOf(window), expected.subarray(at, end)) !== 0) isRight = false
      sources.add(window.source)
      window.release()
      at = end
    }
    return [...sources]
  }

  const firstWindow = source.tryRead(file, 0, 1)
  const coldSources = firstWindow === undefined ? ['read'] : [firstWindow.source]
  firstWindow?.release()
  // what was read from the disk in order is copied once more
  await takeAll()
  await takeAll()
  const warmSources = await takeAll()
  console.log(
    JSON.stringify({
      isTrusted: file.isTrusted,
      isTrustedByOwnership: mayTrustResidency(file.fd, uid, false),
      mincoreSaysResident,
      isLastPageCached,
      coldSources,
      warmSources,
      isRight,
      mappedBytes: regions.mappedBytes,
      regions: regions.count
    })
  )
  file.release()
  catalog.close()
}

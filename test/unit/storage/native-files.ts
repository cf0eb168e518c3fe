/** Files and mappings that the tests of native calls share; gone after the test. */
import fs from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { type Mapping, map, revoke } from '#src/storage/native/mapping.ts'
import { pageBytes } from '#src/storage/native/page-size.ts'
import { patternBytes, tempFolder } from '../../support/serve.ts'

export function sparseFile(t: TestContext, size: number): { fd: number; path: string } {
  const path = join(tempFolder(t), 'sparse')
  fs.writeFileSync(path, '')
  fs.truncateSync(path, size)
  return { fd: opened(t, path), path }
}

export function patternFile(t: TestContext, size: number): { fd: number; path: string } {
  const path = join(tempFolder(t), 'pattern')
  fs.writeFileSync(path, patternBytes(0, size))
  return { fd: opened(t, path), path }
}

export function opened(t: TestContext, path: string): number {
  const fd = fs.openSync(path, 'r')
  t.after(() => fs.closeSync(fd))
  return fd
}

export function mapped(t: TestContext, fd: number, length: number): Mapping {
  const mapping = map(fd, 0, length)
  t.after(() => revoke(mapping))
  return mapping
}

export function writeAt(path: string, bytes: Buffer, position: number): void {
  const fd = fs.openSync(path, 'r+')
  fs.writeSync(fd, bytes, 0, bytes.length, position)
  fs.closeSync(fd)
}

export function readPage(fd: number, page: number): void {
  fs.readSync(fd, Buffer.alloc(pageBytes), 0, pageBytes, page * pageBytes)
}

export function cString(path: string): Buffer {
  return Buffer.from(`${path}\0`)
}

/**
 * Writes to a file all the time, in a process of its own: started by `startWriter`, and the program it starts.
 * Every state of the file is of one version of contents.ts, and every change of bytes is one write(2) of at most
 * 64 KiB.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import { contentOf, versionCount } from './contents.ts'
import type { Lifetime } from './serve.ts'

export type Writing =
  /** version 0 grows by `bytes` every `everyMs` */
  | { readonly kind: 'grow'; readonly everyMs: number; readonly bytes: number }
  /** every 3 to 8 ms: truncated, appended to, rewritten in place, or emptied and written anew */
  | { readonly kind: 'churn' }

export const churnMinBytes = 4096
export const churnMaxBytes = 65_536

/**
 * Resolves when it has begun.
 * @param file exists; to churn it must be of version 0 and of `churnMaxBytes`
 * @returns ends it, and resolves when nothing is written any more
 */
export async function startWriter(
  t: Lifetime,
  file: string,
  writing: Writing
): Promise<() => Promise<void>> {
  const child = spawn(process.execPath, [__filename, file, JSON.stringify(writing)], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const exited = once(child, 'exit')
  const stop = async () => {
    child.kill('SIGKILL')
    await exited
  }
  t.after(stop)
  await Promise.race([
    once(child.stdout, 'data'),
    exited.then(() => Promise.reject(new Error('the writer has ended')))
  ])
  return stop
}

if (require.main === module) {
  const [file, writing] = process.argv.slice(2) as [string, string]
  write(file, JSON.parse(writing) as Writing)
}

function write(file: string, writing: Writing): never {
  const fd = fs.openSync(file, 'r+')
  const step = writing.kind === 'grow' ? grower(fd, writing.bytes) : churner(fd)
  step()
  fs.writeSync(1, 'begun\n')
  for (;;) {
    sleep(writing.kind === 'grow' ? writing.everyMs : 3 + Math.random() * 5)
    step()
  }
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

function grower(fd: number, bytes: number): () => void {
  let size = fs.fstatSync(fd).size
  return () => {
    fs.writeSync(fd, contentOf(0, size, size + bytes), 0, bytes, size)
    size += bytes
  }
}

function churner(fd: number): () => void {
  let version = 0
  let size = churnMaxBytes
  const randomSize = (from: number, to: number) => from + Math.floor(Math.random() * (to - from))
  return () => {
    const what = Math.floor(Math.random() * 5)
    if (what === 0) {
      size = randomSize(churnMinBytes, size)
      fs.ftruncateSync(fd, size)
    } else if (what === 1 && size < churnMaxBytes) {
      const end = randomSize(size + 1, churnMaxBytes + 1)
      fs.writeSync(fd, contentOf(version, size, end), 0, end - size, size)
      size = end
    } else {
      version = (version + 1) % versionCount
      if (what === 4) {
        fs.ftruncateSync(fd, 0)
        size = randomSize(churnMinBytes, churnMaxBytes + 1)
      }
      fs.writeSync(fd, contentOf(version, 0, size), 0, size, 0)
    }
  }
}

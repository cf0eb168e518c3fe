/** Putting files into the page cache and out of it. */
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import { promisify } from 'node:util'

/** Put a file out of memory; it must not be mapped by anyone. @see posix_fadvise(2), by way of dd(1) */
export async function dropFromMemory(file: string): Promise<void> {
  // what is not written yet stays
  const handle = await fs.promises.open(file)
  await handle.sync().finally(() => handle.close())
  await promisify(execFile)('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none'])
}

/** Read a file into memory. */
export async function readAll(file: string): Promise<void> {
  for await (const chunk of fs.createReadStream(file, { highWaterMark: 2 ** 20 })) void chunk
}

/**
 * A peer: the textbook way, as examples show it. Each file is mapped whole, at its first request, and slices of it
 * are sent by node:http. Nothing asks whether they are in memory. Arguments: root, port, advice of madvise(2), and
 * what else it does: `checksum` reads the bytes for an ETag, `each` maps the file anew for each request.
 */
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import mmapIo from 'mmap-io'

const [root = '.', port = '0', advice = 'normal', more = ''] = process.argv.slice(2)

// mmap-io's own type declarations describe constants as types; these are the calls as they are.
interface MmapIo {
  map(size: number, protection: number, flags: number, fd: number, offset: number): Buffer
  advise(buffer: Buffer, advice: number): void
}
const mmap = mmapIo as unknown as MmapIo

// <sys/mman.h>
const PROT_READ = 1
const MAP_SHARED = 1
const advices: Readonly<Record<string, number>> = {
  normal: 0,
  random: 1,
  sequential: 2,
  willneed: 3
}

const mappings = new Map<string, Buffer>()

function mapped(name: string): Buffer {
  const known = more === 'each' ? undefined : mappings.get(name)
  if (known !== undefined) return known
  const fd = fs.openSync(path.join(root, name), 'r')
  const bytes = mmap.map(fs.fstatSync(fd).size, PROT_READ, MAP_SHARED, fd, 0)
  fs.closeSync(fd)
  if (advice !== 'normal') mmap.advise(bytes, advices[advice] ?? 0)
  if (more !== 'each') mappings.set(name, bytes)
  return bytes
}

/** Reads each byte in this process: a page that is not there any more is SIGBUS, which cannot be caught. */
function checksum(body: Buffer): string {
  return createHash('md5').update(body).digest('hex')
}

http
  .createServer((request, response) => {
    const bytes = mapped(path.basename(request.url ?? ''))
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
    if (first === undefined) {
      response.writeHead(200, { 'content-length': bytes.length }).end(bytes)
      return
    }
    const end = Math.min(Number(last) + 1, bytes.length)
    if (end <= Number(first)) {
      response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end()
      return
    }
    const body = bytes.subarray(Number(first), end)
    response.writeHead(206, {
      'content-length': end - Number(first),
      'content-range': `bytes ${first}-${end - 1}/${bytes.length}`,
      ...(more === 'checksum' ? { etag: `"${checksum(body)}"` } : {})
    })
    response.end(body)
  })
  .listen(Number(port), '127.0.0.1')

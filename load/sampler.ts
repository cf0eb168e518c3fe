/** Asks for ranges of the same kind beside the load, and compares their bytes after they came. */
import fs from 'node:fs'
import http from 'node:http'
import { headersOf, type Pieces, requests, smallFiles } from '#src/advise/access.ts'
import { type Job, timeoutSeconds } from './job.ts'

const sampleEveryMs = 100

/** @returns what ends it and tells how many answers it compared, and how many of them were wrong */
export function startSampler(job: Job) {
  const { url, file, fileBytes, load, seed, isSampled } = job
  let wrongBytes = 0
  let compared = 0
  let isOver = false
  const wanted = requests(load, fileBytes, seed + 77)
  const names = job.smallFiles === undefined ? undefined : smallFiles(job.smallFiles, seed + 77)
  const finished = (async () => {
    while (!isOver && isSampled) {
      const pieces = wanted.next().value
      const name = names?.next().value ?? ''
      const answer = await get(url + name, headersOf(pieces)).catch(() => undefined)
      // a connection that breaks off is a failure, which the load counts as well, and no wrong byte
      if (answer !== undefined && answer.status < 300) {
        compared++
        const fd = file === undefined ? undefined : fs.openSync(file + name, 'r')
        if (!isRight(answer, pieces, fileBytes, fd)) wrongBytes++
        if (fd !== undefined) fs.closeSync(fd)
      }
      await new Promise((resolve) => setTimeout(resolve, sampleEveryMs))
    }
  })()
  return {
    async stop() {
      isOver = true
      await finished
      return { wrongBytes, compared }
    }
  }
}

interface Answer {
  readonly status: number
  readonly type: string
  readonly body: Buffer
}

function isRight(
  answer: Answer,
  pieces: Pieces,
  fileBytes: number,
  fd: number | undefined
): boolean {
  if (pieces.length > 1 && answer.status === 206) {
    const parts = partsOf(answer)
    return (
      parts.length === pieces.length &&
      parts.every(({ start, bytes }, index) => {
        const [expectedStart, length] = pieces[index] as Pieces[number]
        return start === expectedStart && bytes.length === length && isInFile(bytes, start, fd)
      })
    )
  }
  // a server may answer with the whole file
  const isWhole = answer.status === 200 || pieces.length === 0
  const [start, length] = isWhole ? [0, fileBytes] : (pieces[0] as Pieces[number])
  return answer.body.length === length && isInFile(answer.body, start, fd)
}

function isInFile(bytes: Buffer, start: number, fd: number | undefined): boolean {
  if (fd === undefined) return true
  const expected = Buffer.alloc(bytes.length)
  fs.readSync(fd, expected, 0, expected.length, start)
  return bytes.equals(expected)
}

/** @see RFC 9110 §14.6 */
function partsOf({ type, body }: Answer): { start: number; bytes: Buffer }[] {
  const boundary = /boundary="?([^";]+)"?/.exec(type)?.[1]
  const parts: { start: number; bytes: Buffer }[] = []
  let at = body.indexOf(`--${boundary}\r\n`)
  while (at !== -1 && boundary !== undefined) {
    const headersEnd = body.indexOf('\r\n\r\n', at)
    const headers = body.subarray(at, headersEnd).toString('latin1')
    const [, first, last] = /^content-range: bytes (\d+)-(\d+)\//im.exec(headers) ?? []
    if (headersEnd === -1 || first === undefined) break
    const start = headersEnd + 4
    const end = start + Number(last) - Number(first) + 1
    parts.push({ start: Number(first), bytes: body.subarray(start, end) })
    at = body.indexOf(`--${boundary}\r\n`, end)
  }
  return parts
}

function get(url: string, headers: Record<string, string>): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { headers, agent: false, timeout: timeoutSeconds * 1000 } as const
    const request = http.get(url, options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const { statusCode: status = 0, headers } = response
        resolve({ status, type: headers['content-type'] ?? '', body: Buffer.concat(chunks) })
      })
    })
    request.on('timeout', () => request.destroy(new Error('timeout')))
    request.on('error', reject)
  })
}

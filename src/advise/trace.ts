/** Real requests from a log: our access log, or one of nginx that has $http_range. */
import fs from 'node:fs'
import path from 'node:path'
import readline from 'node:readline'
import { resolveRange } from '../http/range.ts'
import type { Pieces } from './access.ts'

/** One request that was answered with bytes. */
export interface Request {
  /** index of the file among those that were given */
  readonly file: number
  /** none: the whole file */
  readonly pieces: Pieces
}

export interface Trace {
  readonly requests: readonly Request[]
  /** lines that ask for other files, or that got no bytes */
  readonly others: number
  /** lines that are no requests in a form that is known */
  readonly unknown: number
}

/** What a line of a log says. */
export interface Line {
  readonly target: string
  /** undefined: the whole file was asked for */
  readonly range: string | undefined
  /** whether a part of a file, or all of it, was sent for a GET */
  readonly isAnswered: boolean
}

/** Enough for any working set that a machine holds; an access log of months is cut off there. */
export const mostRequests = 1_000_000

export interface LoggedFile {
  readonly path: string
  readonly size: number
}

/**
 * @param log the path of a file of lines
 * @param files of which the requests are wanted
 * @throws the system's error
 */
export async function readTrace(log: string, files: readonly LoggedFile[]): Promise<Trace> {
  const requests: Request[] = []
  let [others, unknown] = [0, 0]
  const input = fs.createReadStream(log)
  try {
    for await (const text of readline.createInterface({ input, crlfDelay: Infinity })) {
      const line = parseLine(text)
      if (line === undefined) {
        if (text.trim() !== '') unknown++
        continue
      }
      const file = line.isAnswered ? fileOf(line.target, files) : undefined
      const pieces =
        file === undefined ? undefined : piecesOf(line.range, (files[file] as LoggedFile).size)
      if (file === undefined || pieces === undefined) others++
      else requests.push({ file, pieces })
      if (requests.length === mostRequests) break
    }
  } finally {
    input.destroy()
  }
  return { requests, others, unknown }
}

/** @returns undefined: it is no request in a form that is known */
export function parseLine(text: string): Line | undefined {
  return text.startsWith('{') ? parseOwn(text) : parseNginx(text)
}

/** A JSON line of our access log: `method`, `path`, `status`, `range`. */
function parseOwn(text: string): Line | undefined {
  let record: { method?: unknown; path?: unknown; status?: unknown; range?: unknown } | null
  try {
    record = JSON.parse(text)
  } catch {
    return undefined
  }
  const { method = 'GET', path, status = 206, range } = record ?? {}
  if (typeof path !== 'string') return undefined
  return {
    target: path,
    range: typeof range === 'string' && range !== '' ? range : undefined,
    isAnswered: method === 'GET' && (status === 200 || status === 206)
  }
}

/**
 * A line of nginx with $request, $status and, anywhere after them, $http_range: such as the format `combined` with
 * `"$http_range"` at its end. A dash, or no range at all, is the whole file.
 * @see https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format
 */
function parseNginx(text: string): Line | undefined {
  const [head, method, target, status] =
    /"([A-Z]+) (\S+) HTTP\/\d(?:\.\d)?" (\d{3})(?=\s|$)/.exec(text) ?? []
  if (head === undefined || target === undefined) return undefined
  const rest = text.slice(text.indexOf(head) + head.length)
  // among the fields there may be a referer or a user agent, which are quoted too
  const range = /(?:^|[\s"])(bytes=\d*-\d*(?:,\s?\d*-\d*)*)/.exec(rest)?.[1]
  return {
    target,
    range,
    isAnswered: method === 'GET' && (status === '200' || status === '206')
  }
}

/** @returns the file whose path ends as the target does, by as many names as possible; undefined: none */
export function fileOf(target: string, files: readonly LoggedFile[]): number | undefined {
  const names = namesOf(target)
  let best: number | undefined
  let longest = 0
  for (const [index, file] of files.entries()) {
    const common = commonEnd(names, file.path.split(path.sep))
    if (common > longest) [best, longest] = [index, common]
  }
  return best
}

function namesOf(target: string): string[] {
  const [onlyPath = ''] = target.split(/[?#]/)
  try {
    return decodeURIComponent(onlyPath).split('/')
  } catch {
    return onlyPath.split('/')
  }
}

function commonEnd(a: readonly string[], b: readonly string[]): number {
  let count = 0
  while (count < Math.min(a.length, b.length) && a.at(-1 - count) === b.at(-1 - count)) count++
  return count
}

/** @returns undefined: nothing of the file, as it is now, was asked for */
function piecesOf(range: string | undefined, size: number): Pieces | undefined {
  const resolved = resolveRange(range, size, 64)
  if (resolved === 'unsatisfiable' || size === 0) return undefined
  if (resolved === 'whole') return []
  return resolved.map(({ start, end }) => [start, end - start] as const)
}

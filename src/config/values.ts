/** From the text of an option to its value, one parser for each kind of value. */
import { accessSync, constants, statSync } from 'node:fs'
import { isIP } from 'node:net'
import path from 'node:path'

/** A text that is not allowed; the message says what is, so that "TEXT is not MESSAGE" is a sentence. */
export class BadValue extends Error {}

/** @throws BadValue */
export type Parse<T> = (text: string) => T

/** Files that are to be in memory before the service is ready, or a part of each. */
export interface WarmPattern {
  readonly glob: string
  /** bytes, half-open; undefined: whole files */
  readonly range: { readonly start: number; readonly end: number } | undefined
}

export const KiB = 1024
export const MiB = 1024 * KiB
export const GiB = 1024 * MiB

const sizeUnits = new Map([
  ['', 1],
  ['KiB', KiB],
  ['MiB', MiB],
  ['GiB', GiB]
])
const timeUnits = new Map([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000]
])

/** A word that means something of its own, or else what `parse` takes. */
export function wordOr<W, T>(word: string, meaning: () => W, parse: Parse<T>): Parse<W | T> {
  return (text) => {
    if (text === word) return meaning()
    try {
      return parse(text)
    } catch (error) {
      if (!(error instanceof BadValue)) throw error
      throw new BadValue(`${word}, or ${error.message}`)
    }
  }
}

export function oneOf<T extends string>(...allowed: readonly T[]): Parse<T> {
  return (text) => {
    const found = allowed.find((value) => value === text)
    if (found === undefined) throw new BadValue(`one of ${allowed.join(', ')}`)
    return found
  }
}

/** @param min, max allowed themselves; safe integers */
export function integer(min: number, max: number): Parse<number> {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
    if (value >= min && value <= max) return value
    throw new BadValue(`a whole number from ${min} to ${max}`)
  }
}

/** @param min, max bytes, allowed themselves */
export function size(min: number, max: number): Parse<number> {
  return (text) => {
    const value = quantity(text, sizeUnits)
    if (value >= min && value <= max) return value
    const range = `${sizeText(min)} to ${sizeText(max)}`
    throw new BadValue(`a size from ${range}, in bytes or with KiB, MiB or GiB`)
  }
}

/** @returns milliseconds */
export function duration(minMs: number, maxMs: number): Parse<number> {
  return (text) => {
    const value = quantity(text, timeUnits)
    if (value >= minMs && value <= maxMs) return value
    throw new BadValue(`a time with its unit from ${minMs}ms to ${maxMs / 1000}s, in ms, s or m`)
  }
}

/** @returns NaN for what is no whole number with one of the units */
function quantity(text: string, units: ReadonlyMap<string, number>): number {
  const match = /^(\d{1,15})\s?([A-Za-z]*)$/.exec(text)
  return Number(match?.[1]) * (units.get(match?.[2] ?? '') ?? Number.NaN)
}

function sizeText(bytes: number): string {
  if (bytes > 0 && bytes % GiB === 0) return `${bytes / GiB}GiB`
  if (bytes > 0 && bytes % MiB === 0) return `${bytes / MiB}MiB`
  if (bytes > 0 && bytes % KiB === 0) return `${bytes / KiB}KiB`
  return `${bytes}`
}

/** @param pageBytes what the size must be a multiple of */
export function wholePages(parse: Parse<number>, pageBytes: number): Parse<number> {
  return (text) => {
    const value = parse(text)
    if (value % pageBytes !== 0) throw new BadValue(`a multiple of the page size, ${pageBytes}`)
    return value
  }
}

export function share(text: string): number {
  if (/^(0(\.\d{1,6})?|1(\.0{1,6})?)$/.test(text)) return Number(text)
  throw new BadValue('a share from 0 to 1, such as 0.95')
}

/** @returns an absolute path */
export function readableFolder(text: string): string {
  try {
    if (statSync(text).isDirectory()) {
      accessSync(text, constants.R_OK | constants.X_OK)
      return path.resolve(text)
    }
  } catch {
    // said below: missing, or not to be read by this user
  }
  throw new BadValue('a folder that exists and that this user may read')
}

export function nonEmpty(allowed: string): Parse<string> {
  return (text) => {
    if (text.trim() === '') throw new BadValue(allowed)
    return text
  }
}

export function urlPrefix(text: string): string {
  // pchar and "/" of RFC 3986 §3.3 without percent-encoding; the router gives ":" and "*" a meaning
  const isPath = /^\/([A-Za-z0-9\-._~!$&'()+,;=@]+\/)*$/.test(text)
  if (!isPath || text.split('/').some((name) => name === '.' || name === '..')) {
    throw new BadValue('a URL path that begins and ends with "/", such as /files/')
  }
  return text
}

export function headerText(text: string): string {
  // field-content of RFC 9110 §5.5, ASCII only
  if (!/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(text)) {
    throw new BadValue('the value of a header field: printable ASCII')
  }
  return text
}

export function addressList(text: string): readonly string[] {
  if (text === 'none') return []
  const items = text.split(',').map((item) => item.trim())
  for (const item of items) {
    const [, address = '', prefix] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(item) ?? []
    const version = address.includes('%') ? 0 : isIP(address)
    const bits = Number(prefix ?? 1)
    if (version === 0 || bits < 1 || bits > (version === 4 ? 32 : 128)) {
      throw new BadValue(
        'none, or addresses and CIDRs such as 10.0.0.0/8 or ::1, separated by commas'
      )
    }
  }
  return items
}

export function bearerToken(text: string): string {
  // b64token of RFC 6750 §2.1
  if (!/^[A-Za-z0-9\-._~+/]+=*$/.test(text)) {
    throw new BadValue('a token of the characters A-Z a-z 0-9 - . _ ~ + /, with = at its end')
  }
  return text
}

export function corsOrigins(text: string): readonly string[] | '*' | 'off' {
  if (text === '*' || text === 'off') return text
  const origins = text.split(',').map((origin) => origin.trim())
  for (const origin of origins) {
    // an origin is what a browser sends: scheme and host, no path (RFC 6454 §6.1)
    if (!URL.canParse(origin) || new URL(origin).origin !== origin) {
      throw new BadValue('*, off, or origins such as https://maps.example, separated by commas')
    }
  }
  return origins
}

export function warmPatterns(text: string): readonly WarmPattern[] {
  if (text === 'none') return []
  return text.split(',').map((item) => {
    const match = /^([^:]+)(?::(\d{1,15})-(\d{1,15}))?$/.exec(item.trim())
    const [glob, first, last] = [match?.[1], match?.[2], match?.[3]]
    if (glob === undefined || (first !== undefined && Number(first) > Number(last))) {
      throw new BadValue(
        'globs relative to the root, separated by commas, such as *.pmtiles:0-1048575'
      )
    }
    const range = first === undefined ? undefined : { start: Number(first), end: Number(last) + 1 }
    return { glob, range }
  })
}

export function globList(text: string): readonly string[] {
  if (text === 'none') return []
  const globs = text.split(',').map((glob) => glob.trim())
  if (globs.some((glob) => glob === '' || glob.startsWith('/') || glob.split('/').includes('..'))) {
    throw new BadValue(
      'globs relative to the root, separated by commas, such as *.pmtiles,index/**'
    )
  }
  return globs
}

/**
 * A strict reader of request heads. It takes plain GET and HEAD requests of which there is one reading only; for
 * everything else it names a reason, and node:http reads the same bytes. It never guesses where a message ends.
 */
import { isIPv6 } from 'node:net'
import type { RequestFields } from '../http/plan.ts'
import { traceField } from '../http/trace-field.ts'

/** Why a request is not for the fast path; a label of the metric. */
export type Reason =
  /** not all of the head is there yet, or it is larger than what is read here */
  | 'incomplete'
  /** another method, another version, or a start line with anything unusual */
  | 'start-line'
  /** not a path of files, or one that has to be decoded */
  | 'path'
  /** a field that changes how the message is read or how the connection goes on */
  | 'field'
  /** a byte or a blank where the grammar has none, a bare CR or LF, a folded line */
  | 'syntax'

export interface RequestHead {
  readonly method: 'GET' | 'HEAD'
  /** as it was sent */
  readonly target: string
  readonly fields: HeadFields
  /** whether the connection ends with this answer */
  readonly closes: boolean
  /** where the next request begins, in the bytes that were given */
  readonly end: number
}

/** The fields that an answer depends on; all others that are let through have no meaning here. */
export interface HeadFields extends RequestFields {
  readonly origin: string | undefined
  /** of a request of the live page, which is to tell what it cost */
  readonly [traceField]: string | undefined
  readonly 'x-request-id': string | undefined
  readonly 'x-forwarded-for': string | undefined
  /** these two only where the log wants them */
  readonly 'user-agent': string | undefined
  readonly referer: string | undefined
}

// Far beyond what clients send, and below the limits of node:http, which refuses heads of 16 KiB.
const maxHeadBytes = 8 * 1024
const maxFields = 100

const CR = 0x0d
const LF = 0x0a
const space = 0x20
const colon = 0x3a
const openBracket = 0x5b
const closeBracket = 0x5d

// classes of bytes
const isToken = 1
const isValue = 2
const isTarget = 4
const classes = new Uint8Array(256)
for (let byte = 0x21; byte < 0x7f; byte++) {
  const character = String.fromCharCode(byte)
  // field-vchar of RFC 9110 §5.5 without obs-text; tchar of §5.6.2; pchar, "/" and "?" of RFC 3986 §3.3 and §3.4
  classes[byte] =
    isValue |
    (/[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(character) ? isToken : 0) |
    (/[A-Za-z0-9._~!$&'()*+,;=:@/?%-]/.test(character) ? isTarget : 0)
}
classes[space] = isValue
classes[0x09] = isValue

/** A name or an address (RFC 3986 §3.2.2) without percent-encoding and sub-delims. */
const isHost = 8
for (const character of 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-') {
  const byte = character.charCodeAt(0)
  classes[byte] = (classes[byte] as number) | isHost
}

interface KnownField {
  /** lower case */
  readonly name: string
  readonly bytes: Buffer
  /**
   * What it does here. `once`: read; twice is for node:http to decide. `stop`: it changes how the message or the
   * connection is read, so that the request goes to node:http. `log`: for the log alone; of several the first counts, as
   * with node:http.
   */
  readonly role: 'once' | 'stop' | 'host' | 'connection' | 'log'
}

/** By the length of their names: nearly all fields are told apart without making a string. */
const known: readonly (readonly KnownField[])[] = byLength([
  ['host', 'host'],
  ['connection', 'connection'],
  ['range', 'once'],
  ['if-range', 'once'],
  ['if-match', 'once'],
  ['if-none-match', 'once'],
  ['if-modified-since', 'once'],
  ['if-unmodified-since', 'once'],
  ['origin', 'once'],
  [traceField, 'once'],
  ['content-length', 'stop'],
  ['transfer-encoding', 'stop'],
  ['expect', 'stop'],
  ['upgrade', 'stop'],
  ['http2-settings', 'stop'],
  ['te', 'stop'],
  ['trailer', 'stop'],
  ['proxy-connection', 'stop'],
  ['keep-alive', 'stop'],
  ['x-request-id', 'once'],
  ['x-forwarded-for', 'once'],
  ['user-agent', 'log'],
  ['referer', 'log']
])

function byLength(fields: readonly [name: string, role: KnownField['role']][]): KnownField[][] {
  const longest = Math.max(...fields.map(([name]) => name.length))
  return Array.from({ length: longest + 1 }, (_, length) =>
    fields
      .filter(([name]) => name.length === length)
      .map(([name, role]) => ({ name, bytes: Buffer.from(name), role }))
  )
}

/**
 * Read the head of the request that begins at `start`.
 * @param logsAccess whether the fields that only the log wants are read
 * @returns the head, or why it is not read here
 * @see RFC 9112 §2 to §5
 */
export function readHead(bytes: Buffer, start: number, logsAccess = false): RequestHead | Reason {
  const most = Math.min(bytes.length, start + maxHeadBytes)
  let at = start
  let method: 'GET' | 'HEAD'
  if (startsWith(bytes, at, getLine)) method = 'GET'
  else if (startsWith(bytes, at, headLine)) method = 'HEAD'
  else return most - start < headLine.length ? 'incomplete' : 'start-line'
  at += method.length + 1
  const targetStart = at
  while (at < most && (classes[bytes[at] as number] as number) & isTarget) at++
  const targetEnd = at
  if (most - at < version.length) return 'incomplete'
  if (!startsWith(bytes, at, version) || bytes[targetStart] !== 0x2f) return 'start-line'
  at += version.length
  const fields: Mutable<HeadFields> = {
    range: undefined,
    'if-range': undefined,
    'if-match': undefined,
    'if-none-match': undefined,
    'if-modified-since': undefined,
    'if-unmodified-since': undefined,
    origin: undefined,
    // traceField: a computed name would make each of these objects with a call into V8's runtime
    'x-mmap-range-server-try': undefined,
    'x-request-id': undefined,
    'x-forwarded-for': undefined,
    'user-agent': undefined,
    referer: undefined
  }
  let hasHost = false
  let connection: string | undefined
  for (let count = 0; ; count++) {
    if (at + 1 >= most) return 'incomplete'
    if (bytes[at] === CR) {
      if (bytes[at + 1] !== LF) return 'syntax'
      break
    }
    if (count === maxFields) return 'field'
    const nameStart = at
    while (at < most && (classes[bytes[at] as number] as number) & isToken) at++
    if (at === most) return 'incomplete'
    if (bytes[at] !== colon || at === nameStart) return 'syntax'
    const nameEnd = at++
    const valueStart = at
    while (at < most && (classes[bytes[at] as number] as number) & isValue) at++
    if (at + 1 >= most) return 'incomplete'
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return 'syntax'
    const valueEnd = at
    at += 2
    const field = knownField(bytes, nameStart, nameEnd)
    if (field === undefined) continue
    switch (field.role) {
      case 'stop':
        return 'field'
      case 'host':
        if (hasHost || !isPlainHost(bytes, valueStart, valueEnd)) return 'field'
        hasHost = true
        continue
      case 'connection':
        if (connection !== undefined) return 'field'
        connection = textOf(bytes, valueStart, valueEnd).toLowerCase()
        if (connection !== 'keep-alive' && connection !== 'close') return 'field'
        continue
      case 'once': {
        const name = field.name as keyof HeadFields // those that are `once`
        if (fields[name] !== undefined) return 'field'
        fields[name] = textOf(bytes, valueStart, valueEnd)
        continue
      }
      case 'log': {
        const name = field.name as 'user-agent' | 'referer' // those that are `log`
        if (logsAccess) fields[name] ??= textOf(bytes, valueStart, valueEnd)
      }
    }
  }
  if (!hasHost) return 'field'
  const target = bytes.toString('latin1', targetStart, targetEnd)
  return { method, target, fields, closes: connection === 'close', end: at + 2 }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

const getLine = Buffer.from('GET ')
const headLine = Buffer.from('HEAD ')
const version = Buffer.from(' HTTP/1.1\r\n')

function startsWith(bytes: Buffer, at: number, expected: Buffer): boolean {
  if (bytes.length < at + expected.length) return false
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false
  return true
}

/** The name consists of token bytes, of which setting 0x20 changes capitals alone among those of known names. */
function knownField(bytes: Buffer, start: number, end: number): KnownField | undefined {
  const candidates = known[end - start]
  if (candidates === undefined) return undefined
  for (let i = 0; i < candidates.length; i++) {
    const candidate = candidates[i] as KnownField
    const name = candidate.bytes
    let at = 0
    while (at < name.length && ((bytes[start + at] as number) | 0x20) === name[at]) at++
    if (at === name.length) return candidate
  }
  return undefined
}

/** Without the blanks around it (RFC 9110 §5.5). */
function textOf(bytes: Buffer, start: number, end: number): string {
  let from = start
  let to = end
  while (from < to && isBlank(bytes[from])) from++
  while (to > from && isBlank(bytes[to - 1])) to--
  return bytes.toString('latin1', from, to)
}

function isBlank(byte: number | undefined): boolean {
  return byte === space || byte === 0x09
}

/** A name or an address, with or without a port; what is more than that is for node:http. */
function isPlainHost(bytes: Buffer, start: number, end: number): boolean {
  let at = start
  let to = end
  while (at < to && isBlank(bytes[at])) at++
  while (to > at && isBlank(bytes[to - 1])) to--
  const nameStart = at
  if (bytes[at] === openBracket) {
    // without a zone, which is no part of a URI
    do at++
    while (at < to && (bytes[at] === colon || (classes[bytes[at] as number] as number) & isHost))
    if (bytes[at] !== closeBracket || !isIPv6(bytes.toString('latin1', nameStart + 1, at)))
      return false
    at++
  } else {
    while (at < to && (classes[bytes[at] as number] as number) & isHost) at++
    if (at === nameStart) return false
  }
  return at === to || (bytes[at] === colon && isPort(bytes, at + 1, to))
}

/** 0 to 65535, with at most five digits. */
function isPort(bytes: Buffer, start: number, end: number): boolean {
  if (start === end || end - start > 5) return false
  let port = 0
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] as number) - 0x30
    if (digit < 0 || digit > 9) return false
    port = port * 10 + digit
  }
  return port <= 65_535
}

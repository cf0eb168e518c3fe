/**
 * The line of the access log as text. It is written for every answer, and pino takes several times as long as the
 * template below to find out which fields there are, and what of them must be escaped.
 */
import type { Logger } from 'pino'

/** A logger, with a shorter way for the access log where the log is the service's own. */
export type AccessLogger = Logger & {
  /** @param members of a JSON object, ASCII; written at level info with the message `access` */
  readonly logAccess?: (members: string) => void
}

/** What is known of an answer that is over; what is undefined has no member. */
export interface AccessFields {
  readonly reqId: string
  readonly remoteAddress: string | undefined
  readonly method: string
  readonly path: string
  readonly status: number
  readonly range: string | undefined
  readonly bytes: number
  readonly source: string
  readonly ms: number
  readonly userAgent: string | undefined
  readonly referer: string | undefined
  readonly outcome: string
}

/** @returns the members of a JSON object, without braces, in ASCII */
export function accessMembers(fields: AccessFields): string {
  const { remoteAddress, range, userAgent, referer } = fields
  return `"reqId":${quoted(fields.reqId)}${
    remoteAddress === undefined ? '' : `,"remoteAddress":${quoted(remoteAddress)}`
  },"method":${quoted(fields.method)},"path":${quoted(fields.path)},"status":${fields.status}${
    range === undefined ? '' : `,"range":${quoted(range)}`
  },"bytes":${fields.bytes},"source":"${fields.source}","ms":${fields.ms}${
    userAgent === undefined ? '' : `,"userAgent":${quoted(userAgent)}`
  }${referer === undefined ? '' : `,"referer":${quoted(referer)}`},"outcome":${quoted(fields.outcome)}`
}

function quoted(text: string): string {
  return isPlain.test(text) ? `"${text}"` : asciiOnly(JSON.stringify(text))
}

// printable ASCII without the quotation mark and the backslash
const isPlain = /^[ !#-[\]-~]*$/

/**
 * What clients send is in the strings of a line. JSON escapes what ends a line in ASCII; some readers take U+0085 and
 * U+2028 for line ends too, and terminals obey U+009B.
 * @param line one JSON text
 */
export function asciiOnly(line: string): string {
  if (!isBeyondAscii.test(line)) return line
  return line.replace(eachBeyondAscii, (unit) => {
    return `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

// with DEL, which terminals obey as well
const isBeyondAscii = /[\u007f-\uffff]/
const eachBeyondAscii = /[\u007f-\uffff]/g

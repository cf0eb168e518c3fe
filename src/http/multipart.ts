/** The framing of multipart/byteranges (RFC 9110 §14.6), and its exact length before the first byte. */
import { type ByteRange, formatContentRange } from './range.ts'

/** Literal text, of ASCII alone, or bytes of the representation. */
export type BodyPart = string | ByteRange

export interface Multipart {
  /** of the whole answer, with the boundary */
  readonly contentType: string
  /** bytes */
  readonly contentLength: number
  readonly body: readonly BodyPart[]
}

/**
 * @param ranges two or more, or one of several that were asked for
 * @param contentType of the representation, repeated in each part
 * @param boundary 1 to 70 characters that need no quotes (RFC 2046 §5.1.1); it must not occur in the bytes,
 *   which only chance can promise: take it at random
 */
export function layoutMultipart(
  ranges: readonly ByteRange[],
  contentType: string,
  completeLength: number,
  boundary: string
): Multipart {
  const body: BodyPart[] = []
  let contentLength = 0
  for (const range of ranges) {
    // The first delimiter begins with CRLF too, as nginx, Apache and lighttpd send it: RFC 2046 §5.1.1 allows it,
    // and zsync reads no other.
    const head =
      `\r\n--${boundary}\r\n` +
      `Content-Type: ${contentType}\r\n` +
      `Content-Range: ${formatContentRange(range, completeLength)}\r\n\r\n`
    body.push(head, range)
    contentLength += head.length + range.end - range.start
  }
  const end = `\r\n--${boundary}--\r\n`
  body.push(end)
  return {
    contentType: `multipart/byteranges; boundary=${boundary}`,
    contentLength: contentLength + end.length,
    body
  }
}

/** Contents that can be told apart: of each slice it is known which version of a file it is of. */
import assert from 'node:assert/strict'

export const versionCount = 256
const known = new Map<number, Buffer>()
// times 101 is a permutation of the bytes
const versionOfDifference = Array.from({ length: 256 }, () => 0)
for (let version = 0; version < versionCount; version++) {
  versionOfDifference[(version * 101) & 0xff] = version
}

function base(i: number): number {
  return (i * 31 + (i >>> 8) * 17 + (i >>> 16) * 13 + (i >>> 24) * 7) & 0xff
}

/**
 * Bytes [start, end) of a version, 0 to 255; no two versions have the same byte in any place. Version 0 is that
 * of `patternBytes`.
 * @returns shared between calls: not to be written to
 */
export function contentOf(version: number, start: number, end: number): Buffer {
  let bytes = known.get(version)
  if (bytes === undefined || bytes.length < end) {
    bytes = Buffer.allocUnsafeSlow(2 ** Math.ceil(Math.log2(Math.max(end, 4096))))
    const shift = version * 101
    for (let i = 0; i < bytes.length; i++) bytes[i] = base(i) + shift
    known.set(version, bytes)
  }
  return bytes.subarray(start, end)
}

/** The version of which a slice is; undefined: its bytes are of more than one. @param body not empty */
export function versionOf(body: Buffer, start = 0): number | undefined {
  const version = versionOfDifference[((body[0] as number) - base(start)) & 0xff] as number
  return body.equals(contentOf(version, start, start + body.length)) ? version : undefined
}

/** Where a slice goes over from one version to the next, for messages. */
export function describeMix(body: Buffer, start = 0): string {
  const versions: string[] = []
  let before: number | undefined
  for (let i = 0; i < body.length && versions.length < 8; i++) {
    const version = versionOfDifference[((body[i] as number) - base(start + i)) & 0xff]
    if (version !== before) versions.push(`version ${version} from ${i}`)
    before = version
  }
  return `${versions.join(', ')}; ${body.length} bytes in all`
}

export function assertOneVersion(body: Buffer, start = 0): number {
  const version = versionOf(body, start)
  assert.ok(version !== undefined, `mixed: ${describeMix(body, start)}`)
  return version
}

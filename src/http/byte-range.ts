/** Bytes [start, end) of a representation or of a file; never empty. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

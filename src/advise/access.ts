/** Which ranges are asked for, in which order: from a seed, so that every mode gets the same. */

export const patterns = [
  'uniform',
  'zipf',
  'sequential',
  'tiles',
  'columns',
  'multi',
  'whole'
] as const

export type Pattern = (typeof patterns)[number]

export interface Access {
  readonly pattern: Pattern
  /** bytes of one range; for `tiles` and `columns` those of an average one */
  readonly rangeBytes: number
}

/** First byte and number of bytes. */
export type Piece = readonly [start: number, length: number]

/** What one request asks for; no piece: the whole file. */
export type Pieces = readonly Piece[]

const KiB = 1024
const piecesOfMulti = 8

/** @returns requests without end, each within the file */
export function* requests(
  access: Access,
  fileBytes: number,
  seed: number
): Generator<Pieces, never> {
  const random = mulberry32(seed)
  const { pattern, rangeBytes } = access
  if (pattern === 'tiles') yield* tiles(random, rangeBytes, fileBytes)
  if (pattern === 'columns') yield* columns(random, rangeBytes, fileBytes)
  const slots = Math.max(1, Math.floor(fileBytes / rangeBytes))
  const piece = (slot: number) => within(slot * rangeBytes, rangeBytes, fileBytes)
  let slot = Math.floor(random() * slots)
  for (;;) {
    if (pattern === 'whole') yield []
    else if (pattern === 'multi') yield scattered(random, slots).map(piece)
    else yield [piece(slot)]
    if (pattern === 'sequential') slot = (slot + 1) % slots
    else slot = pattern === 'zipf' ? zipfSlot(random(), slots) : Math.floor(random() * slots)
  }
}

/** Names of small files, at random, without end. */
export function* smallFiles(count: number, seed: number): Generator<string, never> {
  const random = mulberry32(seed)
  for (;;) yield smallFile(Math.floor(random() * count))
}

/** The name of one of them: a hundred folders, as a pyramid of tiles has its columns. */
export function smallFile(index: number): string {
  return `${index % 100}/${index}.bin`
}

/** The Range field; undefined for a whole file. @see RFC 9110 §14.1.2 */
export function rangeField(pieces: Pieces): string | undefined {
  if (pieces.length === 0) return undefined
  return `bytes=${pieces.map(([start, length]) => `${start}-${start + length - 1}`).join(',')}`
}

/** The headers of such a request. */
export function headersOf(pieces: Pieces): Record<string, string> {
  const range = rangeField(pieces)
  return range === undefined ? {} : { range }
}

/** A map that is opened and looked at: its header, a directory, then neighbouring tiles of many sizes. */
function* tiles(
  random: () => number,
  averageBytes: number,
  fileBytes: number
): Generator<Pieces, never> {
  const directoriesEnd = Math.ceil(fileBytes / 16)
  for (;;) {
    yield [within(0, 16 * KiB, fileBytes)]
    yield [within(Math.floor(random() * directoriesEnd), 8 * KiB, fileBytes)]
    const place = directoriesEnd + Math.floor(random() * (fileBytes - directoriesEnd))
    for (let tile = 0; tile < 12; tile++) {
      const start = place + Math.floor(random() * 64) * averageBytes
      yield [within(start, 1 + Math.floor(random() * 2 * averageBytes), fileBytes)]
    }
  }
}

/** A reader of Parquet: the length of the footer, the footer, then chunks of some columns. */
function* columns(
  random: () => number,
  averageBytes: number,
  fileBytes: number
): Generator<Pieces, never> {
  for (;;) {
    yield [within(fileBytes - 8, 8, fileBytes)]
    yield [within(fileBytes - 64 * KiB, 64 * KiB, fileBytes)]
    for (let chunk = 0; chunk < 6; chunk++) {
      const start = Math.floor(random() * fileBytes)
      yield [within(start, 1 + Math.floor(random() * 2 * averageBytes), fileBytes)]
    }
  }
}

function within(start: number, length: number, fileBytes: number): Piece {
  const first = Math.min(Math.max(0, start), fileBytes - 1)
  return [first, Math.min(length, fileBytes - first)]
}

/** Every other slot at most, so that no two pieces touch and are merged. */
function scattered(random: () => number, slots: number): number[] {
  const chosen = new Set<number>()
  const wanted = Math.min(piecesOfMulti, Math.ceil(slots / 2))
  while (chosen.size < wanted) chosen.add(2 * Math.floor(random() * Math.ceil(slots / 2)))
  return [...chosen].sort((a, b) => a - b)
}

/**
 * Rank r is asked for in proportion to 1/r, by inverting the sum of 1/r, which is near ln r; ranks are
 * scattered over the file, as what is popular is in real files.
 */
function zipfSlot(uniform: number, slots: number): number {
  const rank = Math.min(slots, Math.floor(Math.exp(uniform * Math.log(slots + 1))))
  // a multiplier that shares no factor with most sizes visits the slots in a scattered order
  return (rank * 7919) % slots
}

/** A small generator of numbers in [0, 1) that gives the same everywhere (mulberry32). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

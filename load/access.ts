/** Which ranges are asked for, in which order: from a seed, so that every mode gets the same. */

export type Pattern = 'uniform' | 'zipf' | 'sequential'

export interface Access {
  readonly pattern: Pattern
  /** bytes of one range */
  readonly rangeBytes: number
}

/** First bytes of ranges that lie within a file, aligned to their own size. */
export function* rangeStarts(
  access: Access,
  fileBytes: number,
  seed: number
): Generator<number, never> {
  const slots = Math.max(1, Math.floor(fileBytes / access.rangeBytes))
  const random = mulberry32(seed)
  let slot = Math.floor(random() * slots)
  for (;;) {
    yield slot * access.rangeBytes
    if (access.pattern === 'sequential') slot = (slot + 1) % slots
    else slot = access.pattern === 'zipf' ? zipfSlot(random(), slots) : Math.floor(random() * slots)
  }
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

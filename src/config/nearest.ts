/** The word that somebody meant who has mistyped one. */

/**
 * @returns the only word that begins with `typed`; else the one that the fewest slips of the keyboard turn into it;
 *   undefined when none is near enough to be what was meant
 */
export function nearestOf(typed: string, words: readonly string[]): string | undefined {
  const longer = words.filter((word) => typed.length >= 3 && word.startsWith(typed))
  if (longer.length === 1) return longer[0]
  let nearest: string | undefined
  // a slip for every three letters; more make another word
  let fewest = Math.ceil(typed.length / 3) + 1
  for (const word of words) {
    const slips = slipsBetween(typed, word)
    if (slips >= fewest) continue
    fewest = slips
    nearest = word
  }
  return nearest
}

/**
 * How many letters must be added, left out, exchanged for another, or swapped with their neighbour: the distance of
 * Damerau and Levenshtein, in its form of "optimal string alignment".
 */
export function slipsBetween(a: string, b: string): number {
  let twoBefore: number[] = []
  let before = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1]
      const isSwapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      row[j] = Math.min(
        at(before, j) + 1,
        at(row, j - 1) + 1,
        at(before, j - 1) + (isSame ? 0 : 1),
        isSwapped && i > 1 && j > 1 ? at(twoBefore, j - 2) + 1 : Number.POSITIVE_INFINITY
      )
    }
    twoBefore = before
    before = row
  }
  return at(before, b.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] as number // inside the row, which has b.length + 1 places
}

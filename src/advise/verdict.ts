/** One sentence about two servers, from a comparison, the same on a terminal, in a page and in Markdown. */
import { type Comparison, smallestEffect } from './statistics.ts'

/** What was compared of each: requests per second, the time that 99 % of the answers took at most, CPU time per request. */
export type Measure = 'requests' | 'p99' | 'cpu'

/** `2.41`, `0.023`, `1`: three digits at the most */
export function times(ratio: number): string {
  return ratio.toLocaleString('en', { maximumSignificantDigits: 3 })
}

/** As `times`, but an interval of few and noisy rounds may reach over many powers of ten, which nobody reads. */
export function ratioText(ratio: number): string {
  if (ratio < 0.001) return '<0.001'
  return ratio > 1000 ? '>1,000' : times(ratio)
}

/** `1.70 times (1.61 to 1.80)` */
export function ratioWithInterval({ ratio, interval }: Comparison): string {
  if (interval === undefined) return `${ratioText(ratio)} times`
  return `${ratioText(ratio)} times (${ratioText(interval[0])} to ${ratioText(interval[1])})`
}

/**
 * @param first, second the names of the two
 * @returns without a full stop
 */
export function verdict(
  comparison: Comparison,
  measure: Measure,
  first: string,
  second: string
): string {
  if (comparison.rounds === 0) {
    return `${first} and ${second} cannot be compared: one of them answered nothing`
  }
  const claim = claims[measure](first, ratioWithInterval(comparison), second)
  return conclusion(comparison, claim, first, second)
}

/**
 * @param claim the sentence with the ratio
 * @returns it, with what the rounds say of it; without a full stop
 */
export function conclusion(
  { kind, rounds, roundsToSettle }: Comparison,
  claim: string,
  first: string,
  second: string
): string {
  switch (kind) {
    case 'more':
    case 'less':
      return claim
    case 'same':
      return `no difference between ${first} and ${second} that ${rounds} rounds can show: ${claim}; less than ${smallestEffect * 100} % does not count`
    case 'undecided':
      return `undecided, the noise is too large: ${claim} in ${rounds} rounds; ${roundsText(roundsToSettle)} would settle it`
    case 'unknown':
      return `${claim}, in one round, which has no interval (--rounds 5)`
  }
}

const claims: Readonly<Record<Measure, (first: string, ratio: string, second: string) => string>> =
  {
    requests: (first, ratio, second) => `${first} answers ${ratio} the requests of ${second}`,
    p99: (first, ratio, second) =>
      `99 % of the answers of ${first} take ${ratio} as long as those of ${second}`,
    cpu: (first, ratio, second) =>
      `${first} takes ${ratio} the CPU time of ${second} for each request`
  }

function roundsText(rounds: number | undefined): string {
  if (rounds === undefined || rounds > 1000) return 'more than 1,000 rounds'
  return `about ${rounds} rounds`
}

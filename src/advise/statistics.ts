/** What measurements of two servers in the same rounds say: a ratio, its interval, and whether it is settled. */
import { mean, sampleStandardDeviation } from './averages.ts'

/**
 * `more`, `less`: the interval does not hold 1. `same`: it holds 1, or lies within the smallest effect, and is
 * narrow enough to say so. `undecided`: the noise is too large. `unknown`: there is no interval.
 */
export type Kind = 'more' | 'less' | 'same' | 'undecided' | 'unknown'

export interface Comparison {
  readonly kind: Kind
  /** that gave a pair of figures */
  readonly rounds: number
  /** of the first to the second: the geometric mean over the rounds; NaN of no round */
  readonly ratio: number
  /** the bounds of the interval of `confidence`; undefined with less than two rounds */
  readonly interval: readonly [low: number, high: number] | undefined
  /** about how many rounds of this noise would settle it; undefined: it is settled, or nobody knows */
  readonly roundsToSettle: number | undefined
}

/** How sure an interval is: in so many of a hundred experiments it holds the true ratio. */
export const confidence = 0.95

/**
 * A difference that is smaller does not count: 5 %. Runs on shared machines differ by as much from one day to the
 * next, and nobody changes a server for it.
 */
export const smallestEffect = 0.05

// more than anyone will run
const mostRounds = 100_000

/**
 * The ratio of two servers that were measured in the same rounds, by a paired t-test on its logarithm: what drifts in
 * the machine hits both in a round and cancels out, and a ratio and its inverse get the same answer.
 * @param pairs a figure of the first and one of the second for each round; those that are not > 0 are left out
 */
export function comparePairs(pairs: readonly (readonly [number, number])[]): Comparison {
  const logs = pairs.filter(arePositive).map(([first, second]) => Math.log(first / second))
  if (logs.length < 2) return withoutInterval(logs)
  const center = mean(logs)
  const deviation = sampleStandardDeviation(logs)
  const half = halfWidth(deviation, logs.length)
  return {
    ...conclude(center, half),
    rounds: logs.length,
    roundsToSettle: roundsToSettle(center, deviation, logs.length)
  }
}

/**
 * The ratio of two runs that were not measured in the same rounds, by Welch's t-test on the logarithms.
 * @param first, second figures of each; those that are not > 0 are left out
 */
export function compareRuns(first: readonly number[], second: readonly number[]): Comparison {
  const [a, b] = [first, second].map((figures) =>
    figures.filter((figure) => figure > 0 && Number.isFinite(figure)).map(Math.log)
  ) as [number[], number[]]
  const rounds = Math.min(a.length, b.length)
  if (rounds < 2) {
    return withoutInterval(rounds === 0 ? [] : [mean(a) - mean(b)])
  }
  const [va, vb] = [a, b].map((logs) => sampleStandardDeviation(logs) ** 2 / logs.length) as [
    number,
    number
  ]
  // Welch and Satterthwaite; rounded down, which makes the interval wider and never narrower
  const freedom = Math.floor((va + vb) ** 2 / (va ** 2 / (a.length - 1) + vb ** 2 / (b.length - 1)))
  const half = va + vb === 0 ? 0 : studentQuantile(Math.max(1, freedom)) * Math.sqrt(va + vb)
  return { ...conclude(mean(a) - mean(b), half), rounds, roundsToSettle: undefined }
}

function arePositive([first, second]: readonly [number, number]): boolean {
  return first > 0 && second > 0 && Number.isFinite(first) && Number.isFinite(second)
}

function withoutInterval(logs: readonly number[]): Comparison {
  return {
    kind: 'unknown',
    rounds: logs.length,
    ratio: logs[0] === undefined ? Number.NaN : Math.exp(logs[0]),
    interval: undefined,
    roundsToSettle: undefined
  }
}

/** @param center, half of the interval of the logarithm */
function conclude(center: number, half: number): Pick<Comparison, 'kind' | 'ratio' | 'interval'> {
  return {
    kind: kindOf(center, half),
    ratio: Math.exp(center),
    interval: [Math.exp(center - half), Math.exp(center + half)]
  }
}

function kindOf(center: number, half: number): Kind {
  const effect = Math.log(1 + smallestEffect)
  if (Math.abs(center) + half < effect) return 'same'
  if (center - half > 0) return 'more'
  if (center + half < 0) return 'less'
  return 'undecided'
}

/** Half of the width of the interval of a mean. @param deviation of single rounds */
function halfWidth(deviation: number, rounds: number): number {
  return deviation === 0 ? 0 : (studentQuantile(rounds - 1) * deviation) / Math.sqrt(rounds)
}

/** @returns undefined when `rounds` have settled it */
function roundsToSettle(center: number, deviation: number, rounds: number): number | undefined {
  const isSettled = (count: number) => kindOf(center, halfWidth(deviation, count)) !== 'undecided'
  if (isSettled(rounds)) return undefined
  let [low, high] = [rounds, mostRounds]
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    if (isSettled(middle)) high = middle
    else low = middle
  }
  return high
}

/**
 * The t for which |T| ≤ t has the probability `confidence`.
 * @param freedom degrees of freedom, a whole number ≥ 1
 */
export function studentQuantile(freedom: number): number {
  // of one degree it is 12.7, which is the largest
  let [low, high] = [0, 16]
  while (high - low > 1e-12) {
    const middle = (low + high) / 2
    if (studentShare(middle, freedom) < confidence) low = middle
    else high = middle
  }
  return high
}

/**
 * The probability of |T| ≤ t. Of whole degrees of freedom it is this finite sum.
 * @see Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4
 */
export function studentShare(t: number, freedom: number): number {
  const angle = Math.atan(t / Math.sqrt(freedom))
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)]
  const isOdd = freedom % 2 === 1
  let term = isOdd ? cosine : 1
  let sum = freedom === 1 ? 0 : term
  for (let k = isOdd ? 2 : 1; k <= freedom - 3; k += 2) {
    term *= (k / (k + 1)) * cosine ** 2
    sum += term
  }
  return isOdd ? (2 / Math.PI) * (angle + sine * sum) : sine * sum
}

/** Numbers and words in the queries of the ops port, each with one clear error for what is none. */
import type { FastifyInstance } from 'fastify'

/** @throws 400, which names what was wrong and what is allowed */
export function wholeNumber(
  app: FastifyInstance,
  text: string | undefined,
  name: string,
  min: number,
  max: number,
  byDefault: number
): number {
  if (text === undefined) return byDefault
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return value
  throw app.httpErrors.badRequest(
    `${name} is ${JSON.stringify(text)}; it may be a whole number from ${min} to ${max}`
  )
}

/** @throws 400, which names what was wrong and what is allowed */
export function oneOf<T extends string>(
  app: FastifyInstance,
  text: string | undefined,
  name: string,
  words: readonly T[],
  byDefault: T
): T {
  if (text === undefined) return byDefault
  const word = words.find((word) => word === text)
  if (word !== undefined) return word
  throw app.httpErrors.badRequest(
    `${name} is ${JSON.stringify(text)}; it may be ${words.join(', ')}`
  )
}

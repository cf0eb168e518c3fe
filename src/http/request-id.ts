/** The id by which a client, the proxies on the way and the log speak of one request. */

// Longer than what proxies make (UUIDs, trace ids), and short enough for an exemplar of OpenMetrics.
const isId = /^[A-Za-z0-9._~+/=:@-]{1,100}$/

/**
 * @param field the value of X-Request-Id
 * @returns undefined for what is none: it is neither echoed nor logged
 */
export function requestIdOf(field: string | string[] | undefined): string | undefined {
  return typeof field === 'string' && isId.test(field) ? field : undefined
}

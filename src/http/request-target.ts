/** From a request target to the path that is asked for. */

/**
 * @param target in origin form, `/path?query`, or in absolute form, which a client may send (RFC 9112 §3.2.2)
 * @param prefix of the paths that are meant, with a slash at its beginning and its end
 * @returns what follows the prefix, still encoded and without the query; undefined for other paths
 */
export function pathBehind(prefix: string, target: string): string | undefined {
  const start = target.startsWith('/') ? 0 : target.indexOf('/', target.indexOf('//') + 2)
  if (start < 0 || !target.startsWith(prefix, start)) return undefined
  const query = target.indexOf('?', start)
  return target.slice(start + prefix.length, query < 0 ? target.length : query)
}

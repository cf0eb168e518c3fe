/** From the percent-encoded path of a request to the name of a file below the root, or to a refusal. */

// what Linux takes: limits.h NAME_MAX, PATH_MAX with its NUL
const maxNameBytes = 255
const maxPathBytes = 4095

/**
 * Decode a request path, exactly once.
 * @param rawPath what follows the prefix in the request target: still encoded, without query
 * @param options.dotfiles `deny`: refuse every name that begins with a dot
 * @returns names joined by `/`, without one at the beginning or end; undefined when no file can have that
 *   path or none may be reached by it: malformed encoding or UTF-8, NUL, an encoded slash, an empty name
 *   (`//`, a trailing slash), `.` or `..`, too long. A backslash is a character like others on Linux.
 * @see RFC 3986 §2.1, §3.3
 */
export function decodeRequestPath(
  rawPath: string,
  options: { readonly dotfiles: 'allow' | 'deny' }
): string | undefined {
  // an encoded slash would be a slash inside a name, which no file can have
  if (/%2f/i.test(rawPath)) return undefined
  let path: string
  try {
    path = decodeURIComponent(rawPath)
  } catch {
    return undefined
  }
  if (path.includes('\0') || Buffer.byteLength(path) > maxPathBytes) return undefined
  for (const name of path.split('/')) {
    if (name === '' || name === '.' || name === '..') return undefined
    if (name.startsWith('.') && options.dotfiles === 'deny') return undefined
    if (name.length * 3 > maxNameBytes && Buffer.byteLength(name) > maxNameBytes) return undefined
  }
  return path
}

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
  return isPlain(rawPath) ? rawPath : decodeCarefully(rawPath, options)
}

const slash = 0x2f
const dot = 0x2e
// pchar of RFC 3986 §3.3 without percent-encoding, by character code
const isPathCharacter = new Uint8Array(128)
for (let code = 0x21; code < 0x7f; code++) {
  if (/[A-Za-z0-9._~!$&'()*+,;=:@-]/.test(String.fromCharCode(code))) isPathCharacter[code] = 1
}

/** Whether it is its own decoding and no rule can refuse it: most paths, for which this is all that is done. */
function isPlain(rawPath: string): boolean {
  const { length } = rawPath
  if (length > maxNameBytes) return false
  let isNameStart = true
  for (let i = 0; i < length; i++) {
    const code = rawPath.charCodeAt(i)
    if (code === slash) {
      if (isNameStart) return false
      isNameStart = true
    } else {
      if (isPathCharacter[code] !== 1 || (isNameStart && code === dot)) return false
      isNameStart = false
    }
  }
  return !isNameStart
}

/** Exported so that a test can show that both ways agree. */
export function decodeCarefully(
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
  return checkPath(path, options)
}

/**
 * What `decodeRequestPath` asks of a path that is decoded already.
 * @returns the path itself; undefined when no file can have it or none may be reached by it
 */
export function checkPath(
  path: string,
  options: { readonly dotfiles: 'allow' | 'deny' }
): string | undefined {
  if (path.includes('\0') || Buffer.byteLength(path) > maxPathBytes) return undefined
  for (const name of path.split('/')) {
    if (name === '' || name === '.' || name === '..') return undefined
    if (name.startsWith('.') && options.dotfiles === 'deny') return undefined
    if (name.length * 3 > maxNameBytes && Buffer.byteLength(name) > maxNameBytes) return undefined
  }
  return path
}

/**
 * The listing of a folder, as HTML or as JSON: texts alone, in pieces. The HTML is for people, and has what programs
 * look for that read listings: `wget -r` and rclone the links, GDAL's /vsicurl/ a title `Index of`, each entry on a
 * line of its own, and there a date as Apache writes it with the size behind it.
 */
import { createHash } from 'node:crypto'

export interface ListingEntry {
  readonly name: string
  readonly isFolder: boolean
  /** bytes */
  readonly size: number
  /** milliseconds since the epoch */
  readonly mtimeMs: number
}

export type ListingFormat = 'html' | 'json'

export const listingTypes: Readonly<Record<ListingFormat, string>> = {
  html: 'text/html; charset=utf-8',
  json: 'application/json; charset=utf-8'
}

const style = `
:root{color-scheme:light dark}
body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.25rem;overflow-wrap:anywhere}
a{text-decoration:none}a:hover{text-decoration:underline}
table{width:100%;border-collapse:collapse}
th{text-align:left;font-weight:normal}
th,p{color:GrayText}
th,td{padding:.2rem .5rem;border-bottom:1px solid color-mix(in srgb,CanvasText 12%,Canvas)}
td:first-child{overflow-wrap:anywhere}
td+td,th+th{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
@media(max-width:30rem){
thead{display:none}
tr{display:flex;flex-wrap:wrap;justify-content:space-between;border-bottom:1px solid color-mix(in srgb,CanvasText 12%,Canvas)}
td{border:0}td:first-child{width:100%}td+td{color:GrayText;padding-top:0}
}
`

/** For the HTML: nothing is loaded or run, and the one style is named by its hash. */
export const listingPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'"
].join('; ')

/**
 * @param prefix URL path of the root, with a slash at both ends
 * @param path of the folder, relative to the root, decoded; empty for the root
 * @param entries in the order in which they are shown
 * @returns the page, in pieces of a line or a few
 */
export function* listingHtml(
  prefix: string,
  path: string,
  entries: readonly ListingEntry[]
): Generator<string> {
  const title = escapeHtml(visible(prefix + (path === '' ? '' : `${path}/`)))
  yield `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Index of ${title}</title>
<style>${style}</style>
</head>
<body>
<h1>${breadcrumbs(prefix, path)}</h1>
`
  if (entries.length === 0) {
    yield '<p>This folder is empty.</p>\n'
  } else {
    yield '<table>\n<thead><tr><th>Name</th><th>Changed (UTC)</th><th>Size</th></tr></thead>\n<tbody>\n'
    for (const entry of entries) yield htmlLine(entry)
    yield '</tbody>\n</table>\n'
    yield `<p>${sumOf(entries)}</p>\n`
  }
  yield '</body>\n</html>\n'
}

/** The form of nginx's autoindex_format json, which programs know: an array, an entry on each line. */
export function* listingJson(entries: readonly ListingEntry[]): Generator<string> {
  yield '[\n'
  for (const [i, { name, isFolder, size, mtimeMs }] of entries.entries()) {
    const mtime = new Date(mtimeMs).toUTCString()
    const entry = isFolder
      ? { name, type: 'directory', mtime }
      : { name, type: 'file', mtime, size }
    yield `${JSON.stringify(entry)}${i < entries.length - 1 ? ',' : ''}\n`
  }
  yield ']\n'
}

/**
 * JSON only where it is asked for: by name, and no less than HTML. So for `application/json, text/plain, *\/*`, and
 * not for what a browser sends.
 * @param accept the Accept field; undefined: anything
 * @see RFC 9110 §12.5.1
 */
export function listingFormatFor(accept: string | undefined): ListingFormat {
  const ranges = (accept ?? '').split(',').map(parseMediaRange)
  const find = (...types: string[]) => {
    // the most precise range counts, not the first
    for (const type of types) {
      const found = ranges.find((range) => range.type === type)
      if (found !== undefined) return found
    }
    return { type: '', quality: 0 }
  }
  const json = find('application/json')
  const html = find('text/html', 'text/*', '*/*')
  if (json.quality === 0) return 'html'
  if (json.quality > html.quality) return 'json'
  return json.quality === html.quality && html.type !== 'text/html' ? 'json' : 'html'
}

function parseMediaRange(text: string): { readonly type: string; readonly quality: number } {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase())
  const weight = parameters.map((part) => /^q=([01](?:\.\d{0,3})?)$/.exec(part)?.[1])
  const found = weight.find((value) => value !== undefined)
  return { type, quality: found === undefined ? 1 : Number(found) }
}

/** The URL path of a folder or file. @param path relative to the root, decoded */
export function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

/** The way from the root to the folder, each part a link but for the last. */
function breadcrumbs(prefix: string, path: string): string {
  const names = path === '' ? [] : path.split('/')
  const root = prefix.slice(0, -1) || '/'
  const parts = [root, ...names].map((name, i) => {
    const shown = nameOf(name)
    if (i === names.length) return shown
    const url =
      prefix +
      names
        .slice(0, i)
        .map((part) => `${encodeURIComponent(part)}/`)
        .join('')
    // the class stands first: GDAL takes every <a href="…"> for an entry
    return `<a class="up" href="${escapeHtml(url)}">${shown}</a>`
  })
  return parts.join(' / ')
}

function htmlLine({ name, isFolder, size, mtimeMs }: ListingEntry): string {
  const date = new Date(mtimeMs)
  const exact = isFolder ? apacheDate(date) : `${apacheDate(date)} ${size} bytes`
  const href = encodeURIComponent(name) + (isFolder ? '/' : '')
  const shown = nameOf(name) + (isFolder ? '/' : '')
  const day = date.toISOString().slice(0, 16).replace('T', ' ')
  const length = isFolder ? '' : sizeText(size)
  return `<tr><td><a href="${href}" title="${exact}">${shown}</a></td><td>${day}</td><td>${length}</td></tr>\n`
}

/** A name of one direction or the other, which does not turn what stands around it. */
function nameOf(name: string): string {
  return `<bdi>${escapeHtml(visible(name))}</bdi>`
}

const months = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')

/** `25-Nov-2026 04:12` */
function apacheDate(date: Date): string {
  const day = `${date.getUTCDate()}`.padStart(2, '0')
  const time = date.toISOString().slice(11, 16)
  return `${day}-${months[date.getUTCMonth()]}-${date.getUTCFullYear()} ${time}`
}

function sumOf(entries: readonly ListingEntry[]): string {
  let files = 0
  let bytes = 0
  for (const { isFolder, size } of entries) {
    if (isFolder) continue
    files++
    bytes += size
  }
  const count = (n: number, what: string) =>
    `${n.toLocaleString('en')} ${what}${n === 1 ? '' : 's'}`
  const parts = []
  if (files < entries.length) parts.push(count(entries.length - files, 'folder'))
  if (files > 0) parts.push(`${count(files, 'file')}, ${sizeText(bytes)}`)
  return parts.join(', ')
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB']

/** Three digits or four, and a unit. */
export function sizeText(bytes: number): string {
  let [value, unit] = [bytes, 0]
  // what would be shown as 1024 is one of the next unit
  while (Math.round(value) >= 1024) {
    value /= 1024
    unit++
  }
  return `${unit > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;'
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => entities[character] as string) // all are there
}

/**
 * Control characters as pictures of them: a line feed in a name is no line feed in the page. Those that turn the
 * direction of a text could make a name end in what it does not end in.
 */
function visible(text: string): string {
  return text.replace(/\p{Cc}|[\u2028-\u202e\u2066-\u2069]/gu, (character) => {
    const code = character.charCodeAt(0)
    if (code < 0x20) return String.fromCharCode(0x2400 + code)
    return code === 0x7f ? '\u2421' : '\ufffd'
  })
}

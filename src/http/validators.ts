/** Validators (RFC 9110 §8.8): ETag and Last-Modified, made, read and compared. */

/**
 * A strong ETag: the same for every replica that holds the same bytes with the same mtime, so that a download
 * can go on at another one. The inode has no part in it.
 * @param mtimeNs nanoseconds since the epoch
 */
export function strongEtag(sizeBytes: number, mtimeNs: bigint): string {
  return `"${mtimeNs.toString(36)}-${sizeBytes.toString(36)}"`
}

/**
 * A weak ETag, for a content so young that its mtime may not tell it from the next. The tag is another one than
 * the strong tag of the same mtime, so that a copy from then is never confirmed afterwards.
 * @param mtimeNs nanoseconds since the epoch
 * @param inode tells two files of one mtime apart, of which one has replaced the other
 */
export function weakEtag(sizeBytes: number, mtimeNs: bigint, inode: bigint): string {
  return `W/"${mtimeNs.toString(36)}-${sizeBytes.toString(36)}-${inode.toString(36)}"`
}

/** One entity-tag of §8.8.3. */
export interface EntityTag {
  /** with its quotes */
  readonly opaque: string
  readonly isWeak: boolean
}

/**
 * Read `*` or a list of entity-tags. Commas may stand inside the quotes of a tag.
 * @returns undefined when it is not such a list
 * @see RFC 9110 §8.8.3, §13.1.1
 */
export function parseEntityTags(field: string): '*' | readonly EntityTag[] | undefined {
  if (/^[ \t]*\*[ \t]*$/.test(field)) return '*'
  const tags: EntityTag[] = []
  // etagc = %x21 / %x23-7E / obs-text; Node gives obs-text as Latin-1
  // (blanks stand in one place for each outcome: two neighbours would try every split of a long run of them)
  const element = /[ \t]*(?:(W\/)?("[\x21\x23-\x7e\x80-\xff]*")[ \t]*)?(?:,|$)/y
  while (element.lastIndex < field.length) {
    const match = element.exec(field)
    if (match === null) return undefined
    if (match[2] !== undefined) tags.push({ opaque: match[2], isWeak: match[1] !== undefined })
  }
  return tags.length === 0 ? undefined : tags
}

/** §8.8.3.2: equal and neither weak. @param etag our own, as it is sent */
export function matchesStrongly(tag: EntityTag, etag: string): boolean {
  // a weak one of ours begins with W/, which no opaque tag does
  return !tag.isWeak && tag.opaque === etag
}

/** §8.8.3.2: equal, weak or not. */
export function matchesWeakly(tag: EntityTag, etag: string): boolean {
  return tag.opaque === (etag.startsWith('W/') ? etag.slice(2) : etag)
}

const dayNames = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const monthNames = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')

/** IMF-fixdate of RFC 9110 §5.6.7. @param epochMs milliseconds; the part below a second is cut off */
export function formatHttpDate(epochMs: number): string {
  const second = Math.floor(epochMs / 1000)
  let date = dates.get(second)
  if (date === undefined) {
    date = new Date(epochMs).toUTCString()
    if (dates.size >= maxDates) dates.clear()
    dates.set(second, date)
  }
  return date
}
// Files that were written together have the same date, or nearly so.
const dates = new Map<number, string>()
const maxDates = 1000

/**
 * Any of the three date formats of RFC 9110 §5.6.7.
 * @param nowMs decides the century of an RFC 850 date
 * @returns whole seconds since the epoch, in milliseconds; undefined for everything else
 */
export function parseHttpDate(text: string, nowMs: number = Date.now()): number | undefined {
  const days = dayNames.join('|')
  const months = monthNames.join('|')
  const time = '(?<hour>\\d\\d):(?<minute>\\d\\d):(?<second>\\d\\d)'
  const fixdate = `(?:${days}), (?<day>\\d\\d) (?<month>${months}) (?<year>\\d{4}) ${time} GMT`
  const asctime = `(?:${days}) (?<month>${months}) (?<day>[ \\d]\\d) ${time} (?<year>\\d{4})`
  const rfc850 = `(?:Sun|Mon|Tues|Wednes|Thurs|Fri|Satur)day, (?<day>\\d\\d)-(?<month>${months})-(?<year>\\d\\d) ${time} GMT`
  for (const format of [fixdate, rfc850, asctime]) {
    const found = new RegExp(`^${format}$`).exec(text)?.groups
    if (found !== undefined) return fromFields(found, nowMs)
  }
  return undefined
}

function fromFields(found: Record<string, string>, nowMs: number): number | undefined {
  const number = (name: string) => Number(found[name])
  const month = monthNames.indexOf(found.month as string)
  const [day, hour, minute] = [number('day'), number('hour'), number('minute')]
  // the time of a file knows no leap seconds: taken as the second before, it never claims too late a date
  const second = Math.min(number('second'), 59)
  if (hour > 23 || minute > 59 || number('second') > 60) return undefined
  const year = found.year?.length === 2 ? fullYear(number('year'), nowMs) : number('year')
  const date = new Date(0)
  date.setUTCFullYear(year, month, day)
  // setUTCFullYear carries the 31st of February over into March: not a date
  if (date.getUTCMonth() !== month || date.getUTCDate() !== day) return undefined
  return date.setUTCHours(hour, minute, second, 0)
}

/** §5.6.7: a two-digit year that seems more than 50 years ahead is the latest past one with those digits. */
function fullYear(twoDigits: number, nowMs: number): number {
  const thisYear = new Date(nowMs).getUTCFullYear()
  const year = thisYear - (thisYear % 100) + twoDigits
  return year > thisYear + 50 ? year - 100 : year
}

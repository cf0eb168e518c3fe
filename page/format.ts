/** Numbers as people read them. */

const KiB = 1024
const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** @returns such as `3.2 MiB`: three digits at the most before a fraction is left out */
export function bytes(value: number): string {
  let unit = 0
  let scaled = value
  while (Math.abs(scaled) >= 1000 && unit + 1 < byteUnits.length) {
    scaled /= KiB
    unit++
  }
  return `${digits(scaled, unit > 0)} ${byteUnits[unit]}`
}

/** All digits, in groups. */
export function whole(value: number): string {
  return Math.round(value).toLocaleString('en')
}

/** @returns such as `950`, `12.3k`, `4.1M` */
export function count(value: number): string {
  const units = ['', 'k', 'M', 'G']
  let unit = 0
  let scaled = value
  while (Math.abs(scaled) >= 10_000 && unit + 1 < units.length) {
    scaled /= 1000
    unit++
  }
  if (unit === 0 && Math.abs(scaled) >= 1000) return whole(scaled)
  return `${digits(scaled, true)}${units[unit]}`
}

function digits(value: number, hasFraction: boolean): string {
  const size = Math.abs(value)
  if (!hasFraction || Number.isInteger(value) || size >= 100) return String(Math.round(value))
  if (size >= 1) return value.toFixed(1)
  return String(Number(value.toFixed(2)))
}

/** @param value milliseconds @returns in µs, ms, s or min */
export function ms(value: number): string {
  if (value === 0) return '0 ms'
  if (value < 1) return `${Math.round(value * 1000)} µs`
  if (value < 10) return `${Number(value.toFixed(1))} ms`
  if (value < 1000) return `${Math.round(value)} ms`
  if (value < 60_000) return `${(value / 1000).toFixed(1)} s`
  return `${(value / 60_000).toFixed(1)} min`
}

/** @param share 0 to 1 */
export function percent(share: number): string {
  if (share === 0 || share === 1) return `${share * 100} %`
  // neither nothing nor all
  if (share < 0.01) return '< 1 %'
  if (share > 0.99) return '> 99 %'
  return `${Math.round(share * 100)} %`
}

/** @param seconds @returns such as `2 h 5 min` */
export function duration(seconds: number): string {
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [Math.floor(seconds) % 60, 's']
  ]
  const first = parts.findIndex(([value]) => value > 0)
  if (first < 0) return '0 s'
  return parts
    .slice(first, first + 2)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(' ')
}

/** @param at milliseconds since the epoch */
export function clock(at: number): string {
  return new Date(at).toLocaleTimeString('en-GB')
}

/** @param first, last bytes, both included */
export function range(first: number, last: number): string {
  return `${whole(first)}–${whole(last)}`
}

/** A path as it stands in a URL. */
export function encodedPath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

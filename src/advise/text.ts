/** Lines for a terminal: words and tables that are no wider than 100 columns. */

/** What no line is longer than. */
export const terminalColumns = 100

/** @param cells the first line is that of titles; the first column is shortened where a line would be too long */
export function table(cells: readonly (readonly string[])[]): string[] {
  const widths = (cells[0] ?? []).map((_, i) =>
    Math.max(...cells.map((line) => line[i]?.length ?? 0))
  )
  const others = widths.slice(1).reduce((sum, width) => sum + width + 2, 2)
  const first = Math.min(widths[0] ?? 0, Math.max(8, terminalColumns - others))
  return cells.map((line) => {
    const padded = line.map((cell, i) => {
      if (i > 0) return cell.padStart(widths[i] ?? 0)
      return (cell.length > first ? `${cell.slice(0, first - 1)}…` : cell).padEnd(first)
    })
    return `  ${padded.join('  ')}`.trimEnd()
  })
}

/** Words in lines. @param mark before the first line; the others begin with as many blanks */
export function wrapped(text: string, mark = ''): string[] {
  const lines: string[] = []
  let line = mark
  for (const word of text.split(' ')) {
    const isFirst = line.length === mark.length
    if (!isFirst && line.length + 1 + word.length > terminalColumns) {
      lines.push(line)
      line = ' '.repeat(mark.length) + word
    } else line += isFirst ? word : ` ${word}`
  }
  return [...lines, line]
}

/** `1,234`; `-` of nothing */
export function number(value: number | undefined, digits = 0): string {
  if (value === undefined || Number.isNaN(value)) return '-'
  return value.toLocaleString('en', {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits
  })
}

/** `1.5 GiB` */
export function sizeText(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${value.toLocaleString('en', { maximumSignificantDigits: 3, useGrouping: false })} ${units[unit]}`
}

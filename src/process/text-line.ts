/** Lines of the log for people. */
import pino from 'pino'
import type { Config } from '../config/options.ts'

/** @returns whether the log is read by people: `auto` takes a terminal for that */
export function isForPeople({ logFormat }: Pick<Config, 'logFormat'>): boolean {
  return logFormat === 'text' || (logFormat === 'auto' && process.stdout.isTTY === true)
}

// Select Graphic Rendition of ECMA-48: yellow, red, and the terminal's own
const colours = new Map([
  ['warn', '\u001b[33m'],
  ['error', '\u001b[31m'],
  ['fatal', '\u001b[31m']
])
const ownColour = '\u001b[39m'

/** @returns what makes a line of pino one for people, with colours where the terminal has them */
export function lineForPeople(): (json: string) => string {
  // https://no-color.org
  const hasColours = process.stdout.isTTY === true && !process.env.NO_COLOR
  return (json) => textLine(json, hasColours)
}

/**
 * @param json a line of pino
 * @returns the time of day, the level, the message and the other fields, with a line feed; a stack on lines below
 */
export function textLine(json: string, hasColours: boolean): string {
  const { time, level, msg, pid: _pid, hostname: _hostname, err, ...fields } = JSON.parse(json)
  const label: string = pino.levels.labels[level] ?? `${level}`
  const colour = hasColours ? colours.get(label) : undefined
  const shown = label.toUpperCase().padEnd(5)
  const words = [
    new Date(time).toTimeString().slice(0, 8),
    colour === undefined ? shown : colour + shown + ownColour,
    printable(String(msg ?? '')),
    ...Object.entries(fields).map(([name, value]) => `${name}=${fieldText(value)}`)
  ]
  const stack = err === undefined ? '' : `\n${printable(String(err.stack ?? err.message), '\n')}`
  return `${words.join(' ')}${stack}\n`
}

function fieldText(value: unknown): string {
  const isPlain = typeof value === 'string' && /^[^\s"=]+$/.test(value)
  return printable(isPlain ? value : JSON.stringify(value))
}

/** What a client sends must not steer the terminal: control characters are shown as they are written in JSON. */
function printable(text: string, allowed = ''): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, (character) => {
    if (allowed.includes(character)) return character
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

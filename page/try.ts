/** A request to the service, and what came of it: status, headers, bytes, and what it cost. */
import type { Tried } from '../src/metrics/live-types.ts'
import * as api from './api.ts'
import { byId, h, replace, setText } from './dom.ts'
import * as format from './format.ts'

const shownBytes = 256
const bytesPerLine = 16

export class Try {
  readonly #path = byId<HTMLInputElement>('try-path')
  readonly #range = byId<HTMLInputElement>('try-range')

  constructor() {
    byId('try-form').addEventListener('submit', (event) => {
      event.preventDefault()
      void this.#run(['answer'])
    })
    byId('try-both').addEventListener('click', () => void this.#run(['cold', 'hot']))
  }

  /** Fills the form in. */
  set(path: string, [first, last]: api.Bytes): void {
    this.#path.value = path
    this.#range.value = `bytes=${first}-${last}`
    byId('try').scrollIntoView()
    this.#path.focus({ preventScroll: true })
  }

  /** For the first time: any file. */
  suggest(path: string): void {
    if (this.#path.value === '') this.#path.value = path
  }

  /** @param names of requests, one after the other; before `cold` the file is evicted */
  async #run(names: readonly ('answer' | 'cold' | 'hot')[]): Promise<void> {
    const path = this.#path.value.trim().replace(/^\/+/, '')
    const outcome = byId('try-outcome')
    if (path === '')
      return setText(byId('try-told'), 'Which file? Its path below the root is wanted.')
    setText(byId('try-told'), 'Asking …')
    replace(outcome)
    try {
      for (const name of names) {
        const stays = name === 'cold' ? (await api.evict(path, undefined)).residentBytes : null
        const tried = await api.tryRange(path, this.#range.value.trim())
        outcome.append(cardOf(name, tried, stays))
      }
      setText(byId('try-told'), names.length === 1 ? 'One answer.' : 'Two answers, cold and hot.')
    } catch (error) {
      const text = error instanceof api.RequestError ? error.message : 'The service did not answer.'
      setText(byId('try-told'), text)
    }
  }
}

const titles = {
  answer: 'Answer',
  cold: 'Cold: after its pages left memory',
  hot: 'Hot: asked again'
}

function cardOf(name: keyof typeof titles, tried: Tried, staysBytes: number | null): HTMLElement {
  const timing = timingOf(tried)
  const bytes = Uint8Array.from(atob(tried.head), (character) => character.charCodeAt(0))
  const fact = (term: string, text: string) => [h('dt', {}, term), h('dd', {}, text)]
  return h(
    'article',
    { class: 'card tried', 'data-tried': name },
    h('h3', {}, titles[name]),
    h('p', { class: 'status' }, h('strong', {}, `${tried.status} ${tried.statusText}`)),
    h(
      'dl',
      {},
      ...fact('Took', `${format.ms(tried.ms)}, first byte after ${format.ms(tried.firstByteMs)}`),
      ...(timing.ttfb === undefined
        ? []
        : fact('In the service', `${format.ms(timing.ttfb)} to its headers`)),
      ...(timing.src === undefined ? [] : fact('Source', timing.src)),
      ...(timing.win === undefined ? [] : fact('First window', timing.win)),
      ...(timing.flt === undefined ? [] : fact('Page faults', timing.flt)),
      ...(timing.open === undefined ? [] : fact('Opening', format.ms(timing.open))),
      ...fact('Body', `${format.whole(tried.length)} bytes`),
      ...(staysBytes === null || staysBytes === 0
        ? []
        : fact('Not quite cold', `${format.bytes(staysBytes)} stayed in memory`))
    ),
    h(
      'details',
      {},
      h('summary', {}, 'Headers'),
      h(
        'pre',
        { tabindex: 0 },
        tried.headers.map(([field, value]) => `${field}: ${value}`).join('\n')
      )
    ),
    h(
      'details',
      { open: true },
      h('summary', {}, bytes.length > shownBytes ? `First ${shownBytes} bytes` : 'Bytes'),
      h('pre', { class: 'hex', tabindex: 0 }, hexOf(bytes.subarray(0, shownBytes)))
    )
  )
}

interface Timing {
  src?: string
  win?: string
  flt?: string
  open?: number
  ttfb?: number
}

/** @see https://www.w3.org/TR/server-timing/ */
export function timingOf({ headers }: Tried): Timing {
  const value = headers.find(([name]) => name.toLowerCase() === 'server-timing')?.[1] ?? ''
  const text = (name: string) => new RegExp(`\\b${name};desc="([^"]*)"`).exec(value)?.[1]
  const time = (name: string) => {
    const ms = new RegExp(`\\b${name};dur=([\\d.]+)`).exec(value)?.[1]
    return ms === undefined ? undefined : Number(ms)
  }
  const spaced = (text: string | undefined) => text?.replaceAll('=', ' ')
  const [src, win, flt] = [text('src'), spaced(text('win')), spaced(text('flt'))]
  const [open, ttfb] = [time('open'), time('ttfb')]
  return {
    ...(src !== undefined && { src }),
    ...(win !== undefined && { win }),
    ...(flt !== undefined && { flt }),
    ...(open !== undefined && { open }),
    ...(ttfb !== undefined && { ttfb })
  }
}

/** Lines of offset, bytes in hexadecimal, and the same as text where it is ASCII. */
export function hexOf(bytes: Uint8Array): string {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += bytesPerLine) {
    const line = [...bytes.subarray(at, at + bytesPerLine)]
    const hex = line.map((byte) => byte.toString(16).padStart(2, '0')).join(' ')
    const text = line
      .map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '·'))
      .join('')
    lines.push(`${at.toString(16).padStart(4, '0')}  ${hex.padEnd(3 * bytesPerLine - 1)}  ${text}`)
  }
  return lines.join('\n')
}

/** The latest slow answers, each with its reason in words. Asked for again when there are new ones. */
import type { LiveEvent, SlowAnswer } from '../src/metrics/live-types.ts'
import * as api from './api.ts'
import { byId, h, replace, setText, watchSight } from './dom.ts'
import * as format from './format.ts'

const shown = 12

export class Slow {
  answers: readonly SlowAnswer[] = []
  readonly #open: (path: string) => void
  readonly #isSeen: () => boolean
  #count = -1
  #isAsking = false

  /** @param open called with the path of the file that a person chose */
  constructor(open: (path: string) => void) {
    this.#open = open
    this.#isSeen = watchSight(byId('slow'))
  }

  update({ totals }: LiveEvent): void {
    // the panel of a file shows its own
    const isWanted = this.#isSeen() || !byId('file').hidden
    if (!isWanted || this.#isAsking || totals.slow === this.#count) return
    this.#isAsking = true
    void this.#ask(totals.slow).finally(() => {
      this.#isAsking = false
    })
  }

  async #ask(count: number): Promise<void> {
    try {
      this.answers = await api.slow()
      this.#count = count
    } catch {
      return // with the next event again
    }
    setText(byId('slow-count'), `${format.whole(count)} since the service began`)
    byId('slow-empty').hidden = this.answers.length > 0
    replace(
      byId('slow-list'),
      ...this.answers.slice(0, shown).map((answer) => slowItem(answer, this.#open))
    )
  }
}

/** @param open with it, the file's name can be chosen */
export function slowItem(answer: SlowAnswer, open?: (path: string) => void): HTMLLIElement {
  const { at, path, size, ranges, ms, reason, status } = answer
  const [range] = ranges
  const more = ranges.length > 1 ? ` and ${ranges.length - 1} more` : ''
  const bytes = range === undefined ? 'no body' : `bytes ${format.range(...range)}${more}`
  const bar = h('span', { class: 'place', 'aria-hidden': true })
  for (const [first, last] of ranges) {
    const mark = h('span', {})
    mark.style.left = `${(100 * first) / size}%`
    mark.style.width = `${(100 * (last - first + 1)) / size}%`
    bar.append(mark)
  }
  return h(
    'li',
    { class: 'slow' },
    h('time', { datetime: new Date(at).toISOString() }, format.clock(at)),
    h('strong', {}, format.ms(ms)),
    h(
      'span',
      { class: 'what' },
      open && h('button', { type: 'button', class: 'path', onclick: () => open(path) }, path),
      h('span', { class: 'range' }, `${status}, ${bytes} of ${format.bytes(size)}`)
    ),
    bar,
    h('span', { class: 'reason' }, reason)
  )
}

/** A file as a grid of cells, row after row: which of its bytes are in memory. Ranges are chosen in it. */
import type { Bytes } from './api.ts'
import { byId, colour, onTheme, setText } from './dom.ts'
import * as format from './format.ts'
import { fit, hatch, strength } from './strip.ts'

// On a narrow screen a cell is still large enough for a finger to find.
const leastCellWidth = 9
const mostColumns = 64

export class HeatMap {
  readonly #canvas = byId<HTMLCanvasElement>('heat-map')
  /** takes the keyboard's focus */
  readonly #box = byId('heat-box')
  readonly #told = byId('heat-told')
  readonly #choose: (bytes: Bytes) => void
  #size = 0
  #cells: readonly number[] = []
  #isTrusted = true
  /** of the cell under the pointer or the keyboard's cursor */
  #at: number | undefined
  /** cells, both included */
  #chosen: readonly [from: number, to: number] | undefined
  #anchor: number | undefined

  /** @param choose a person has chosen these bytes */
  constructor(choose: (bytes: Bytes) => void) {
    this.#choose = choose
    const canvas = this.#canvas
    canvas.addEventListener('pointerdown', (event) => {
      const cell = this.#cellAt(event)
      if (cell === undefined) return
      canvas.setPointerCapture(event.pointerId)
      this.#anchor = cell
      this.#select(cell, cell)
    })
    canvas.addEventListener('pointermove', (event) => {
      const cell = this.#cellAt(event)
      this.#moveTo(cell)
      if (this.#anchor !== undefined && cell !== undefined) this.#select(this.#anchor, cell)
    })
    canvas.addEventListener('pointerup', () => {
      this.#anchor = undefined
    })
    canvas.addEventListener('pointerleave', () => this.#moveTo(undefined))
    this.#box.addEventListener('blur', () => this.#moveTo(undefined))
    this.#box.addEventListener('keydown', (event) => this.#key(event))
    onTheme(() => this.draw())
    new ResizeObserver(() => this.draw()).observe(canvas)
  }

  /** @param isTrusted false: nobody can tell */
  update(size: number, cells: readonly number[], isTrusted: boolean): void {
    this.#size = size
    this.#cells = cells
    this.#isTrusted = isTrusted
    if (this.#at !== undefined) this.#tell()
    this.draw()
  }

  clear(): void {
    this.#chosen = undefined
    this.#at = undefined
    this.update(0, [], true)
    setText(this.#told, hint)
  }

  draw(): void {
    const columns = this.#columns
    const rows = Math.max(1, Math.ceil(this.#cells.length / columns))
    const width = this.#canvas.clientWidth / columns
    // squares, unless there are few of them
    this.#canvas.style.height = `${Math.max(48, Math.round(Math.min(width, 22) * rows))}px`
    const fitted = fit(this.#canvas)
    if (fitted === undefined) return
    const { context } = fitted
    const height = fitted.height / rows
    const [cold, resident] = [colour('cold'), colour('resident')]
    for (const [cell, share] of this.#cells.entries()) {
      const x = Math.round((cell % columns) * width)
      const y = Math.round(Math.floor(cell / columns) * height)
      const w = Math.round(((cell % columns) + 1) * width) - x - 1
      const h = Math.round((Math.floor(cell / columns) + 1) * height) - y - 1
      context.globalAlpha = 1
      context.fillStyle = cold
      context.fillRect(x, y, w, h)
      context.globalAlpha = strength(share)
      context.fillStyle = resident
      context.fillRect(x, y, w, h)
      context.globalAlpha = 1
      if (this.#isChosen(cell)) outline(context, colour('flash'), x, y, w, h)
      if (cell === this.#at) outline(context, colour('text'), x, y, w, h)
    }
    if (!this.#isTrusted) hatch(context, fitted.width, fitted.height, colour('unknown'))
  }

  get #columns(): number {
    const most = Math.floor(this.#canvas.clientWidth / leastCellWidth)
    const columns = most >= mostColumns ? mostColumns : most >= 48 ? 48 : 32
    return Math.min(columns, Math.max(1, this.#cells.length))
  }

  #isChosen(cell: number): boolean {
    const chosen = this.#chosen
    return chosen !== undefined && cell >= chosen[0] && cell <= chosen[1]
  }

  #cellAt({ offsetX, offsetY }: PointerEvent): number | undefined {
    const columns = this.#columns
    const rows = Math.ceil(this.#cells.length / columns)
    const column = Math.floor((offsetX * columns) / this.#canvas.clientWidth)
    const row = Math.floor((offsetY * rows) / this.#canvas.clientHeight)
    const cell = row * columns + column
    return column >= 0 && column < columns && cell >= 0 && cell < this.#cells.length
      ? cell
      : undefined
  }

  #moveTo(cell: number | undefined): void {
    if (cell === this.#at) return
    this.#at = cell
    this.#tell()
    this.draw()
  }

  #tell(): void {
    const share = this.#at === undefined ? undefined : this.#cells[this.#at]
    if (this.#at === undefined || share === undefined) {
      setText(this.#told, hint)
      return
    }
    const [first, last] = this.#bytesOf(this.#at, this.#at)
    setText(this.#told, `bytes ${format.range(first, last)}: ${format.percent(share)} in memory`)
  }

  #select(a: number, b: number): void {
    this.#chosen = [Math.min(a, b), Math.max(a, b)]
    this.#choose(this.#bytesOf(...this.#chosen))
    this.draw()
  }

  #bytesOf(from: number, to: number): Bytes {
    const { length } = this.#cells
    const first = Math.floor((this.#size * from) / length)
    const next = Math.floor((this.#size * (to + 1)) / length)
    return [first, Math.max(first, next - 1)]
  }

  #key(event: KeyboardEvent): void {
    const columns = this.#columns
    const steps: Readonly<Record<string, number>> = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -columns,
      ArrowDown: columns
    }
    const step = steps[event.key]
    const last = this.#cells.length - 1
    if (last < 0) return
    if (step !== undefined) {
      const from = this.#at ?? (step > 0 ? -step : last - step)
      const to = Math.max(0, Math.min(last, from + step))
      this.#anchor = event.shiftKey ? (this.#anchor ?? this.#at ?? to) : undefined
      if (this.#anchor !== undefined) this.#select(this.#anchor, to)
      this.#moveTo(to)
    } else if ((event.key === 'Enter' || event.key === ' ') && this.#at !== undefined) {
      this.#select(this.#at, this.#at)
    } else return
    event.preventDefault()
  }
}

const hint = 'Point at a cell to see its bytes. Drag to choose a range.'

function outline(
  context: CanvasRenderingContext2D,
  stroke: string,
  x: number,
  y: number,
  width: number,
  height: number
): void {
  context.strokeStyle = stroke
  context.lineWidth = 2
  context.strokeRect(x + 1, y + 1, width - 2, height - 2)
}

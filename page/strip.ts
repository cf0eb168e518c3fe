/** A file as a strip of cells: how much of each piece is in memory, and what was just asked for. */
import type { RecentRange } from '../src/metrics/live-types.ts'
import { colour, wantsLessMotion } from './dom.ts'

const flashMs = 1400
// A fade of that length needs no more pictures a second; each draws the whole strip.
const frameMs = 80

interface Flash {
  /** shares of the file, 0 to 1 */
  readonly from: number
  readonly to: number
  /** performance.now() */
  readonly beganAtMs: number
}

export interface StripColours {
  readonly cold: string
  readonly resident: string
  readonly flash: string
  readonly unknown: string
}

export function stripColours(): StripColours {
  return {
    cold: colour('cold'),
    resident: colour('resident'),
    flash: colour('flash'),
    unknown: colour('unknown')
  }
}

/** Makes a canvas as fine as the screen. @returns its size in CSS pixels; undefined while it has none */
export function fit(
  canvas: HTMLCanvasElement
): { context: CanvasRenderingContext2D; width: number; height: number } | undefined {
  const { clientWidth: width, clientHeight: height } = canvas
  const context = canvas.getContext('2d')
  if (width === 0 || height === 0 || context === null) return undefined
  const ratio = devicePixelRatio || 1
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)]
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w
    canvas.height = h
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0)
  context.clearRect(0, 0, width, height)
  return { context, width, height }
}

/** How strongly a cell is coloured: a page of it that is in memory is to be seen. */
export function strength(share: number): number {
  return share === 0 ? 0 : 0.2 + 0.8 * share
}

export class Strip {
  readonly canvas: HTMLCanvasElement
  #cells: readonly number[] = []
  #isTrusted: boolean | null = null
  #flashes: Flash[] = []
  #updatedAtMs = performance.now()
  #colours: StripColours
  #isAnimating = false

  constructor(canvas: HTMLCanvasElement, colours: StripColours) {
    this.canvas = canvas
    this.#colours = colours
  }

  set colours(colours: StripColours) {
    this.#colours = colours
    this.draw()
  }

  /** @param recent of the last seconds; those since the last update flash */
  update(
    cells: readonly number[],
    isTrusted: boolean | null,
    size: number,
    recent: readonly RecentRange[]
  ): void {
    const nowMs = performance.now()
    const sinceMs = nowMs - this.#updatedAtMs
    this.#updatedAtMs = nowMs
    this.#cells = cells
    this.#isTrusted = isTrusted
    for (const [first, last, agoMs] of recent) {
      if (agoMs > sinceMs || size === 0) continue
      const flash = { from: first / size, to: (last + 1) / size, beganAtMs: nowMs }
      this.#flashes.push(flash)
    }
    this.draw()
    if (this.#flashes.length > 0 && !this.#isAnimating) this.#animate()
  }

  draw(): void {
    const fitted = fit(this.canvas)
    if (fitted === undefined) return
    const { context, width, height } = fitted
    const { cold, resident, flash, unknown } = this.#colours
    context.fillStyle = cold
    context.fillRect(0, 0, width, height)
    if (this.#isTrusted === false) hatch(context, width, height, unknown)
    context.fillStyle = resident
    for (const [i, share] of this.#cells.entries()) {
      if (share === 0) continue
      const from = Math.round((i * width) / this.#cells.length)
      const to = Math.round(((i + 1) * width) / this.#cells.length)
      context.globalAlpha = strength(share)
      context.fillRect(from, 0, to - from, height)
    }
    const nowMs = performance.now()
    const isStill = wantsLessMotion()
    context.fillStyle = flash
    for (const { from, to, beganAtMs } of this.#flashes) {
      context.globalAlpha = isStill ? 1 : Math.max(0, 1 - (nowMs - beganAtMs) / flashMs)
      const at = from * width
      // a range of a few bytes is to be seen in a file of gigabytes
      context.fillRect(Math.min(at, width - 3), 0, Math.max(3, (to - from) * width), height)
    }
    context.globalAlpha = 1
  }

  #animate(): void {
    this.#isAnimating = true
    const next = () => {
      this.#isAnimating = false
      const endMs = performance.now() - flashMs
      this.#flashes = this.#flashes.filter(({ beganAtMs }) => beganAtMs > endMs)
      if (!this.canvas.isConnected) return
      this.draw()
      if (this.#flashes.length > 0) this.#animate()
    }
    // none of a tab that nobody sees
    setTimeout(() => requestAnimationFrame(next), frameMs)
  }
}

/** For what nobody can tell. */
export function hatch(
  context: CanvasRenderingContext2D,
  width: number,
  height: number,
  stroke: string
): void {
  context.strokeStyle = stroke
  context.lineWidth = 1
  context.beginPath()
  for (let x = -height; x < width; x += 6) {
    context.moveTo(x, height)
    context.lineTo(x + height, 0)
  }
  context.stroke()
}

/** Small helpers for the document. Nothing here takes markup: all text is text. */

export type Child = Node | string | number | null | undefined | false

type Props = Readonly<Record<string, string | number | boolean | EventListener | undefined>>

/**
 * An element. A property that begins with `on` is a listener, a boolean is an attribute that is there or not, all others
 * are attributes.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: readonly Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue
    if (typeof value === 'function') element.addEventListener(name.slice(2), value)
    else element.setAttribute(name, value === true ? '' : String(value))
  }
  append(element, children)
  return element
}

export function append(parent: Element, children: readonly Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue
    parent.append(typeof child === 'number' ? String(child) : child)
  }
}

export function replace(parent: Element, ...children: readonly Child[]): void {
  parent.replaceChildren()
  append(parent, children)
}

/** Writes only what has changed: a screen reader and the layout need not hear of the rest. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

/** An element of the document as it was written. @throws when it is not there, which is a defect */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id)
  if (element === null) throw new Error(`no element ${id}`)
  return element as T
}

/** A colour of the style sheet, as it is in the theme of the moment. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim()
}

const dark = matchMedia('(prefers-color-scheme: dark)')
const contrast = matchMedia('(forced-colors: active)')

/** Called when the colours of the style sheet have changed. */
export function onTheme(change: () => void): void {
  dark.addEventListener('change', change)
  contrast.addEventListener('change', change)
}

const leastGapPx = 12

/** An explanation stays inside the window; it closes with Escape, and when a person goes on elsewhere. */
export function watchExplanations(): void {
  const close = (but: EventTarget | null) => {
    for (const details of document.querySelectorAll<HTMLDetailsElement>('details.why[open]')) {
      if (!(but instanceof Node && details.contains(but))) details.open = false
    }
  }
  document.addEventListener('pointerdown', ({ target }) => close(target))
  document.addEventListener('focusin', ({ target }) => close(target))
  document.addEventListener('keydown', ({ key }) => {
    if (key === 'Escape') close(null)
  })
  const fitIn = ({ target }: Event) => {
    const text = target instanceof HTMLDetailsElement && target.open && target.querySelector('p')
    if (!text) return
    text.style.translate = ''
    const { right } = text.getBoundingClientRect()
    const over = right + leastGapPx - document.documentElement.clientWidth
    if (over > 0) text.style.translate = `${-over}px`
  }
  // it does not bubble
  document.addEventListener('toggle', fitIn, { capture: true })
}

const calm = matchMedia('(prefers-reduced-motion: reduce)')

export function wantsLessMotion(): boolean {
  return calm.matches
}

/**
 * Something to draw that is told whether it can be seen: nothing is asked of the service for what nobody sees.
 * @returns whether it is on the screen now
 */
export function watchSight(element: Element, change: () => void = () => {}): () => boolean {
  let isNear = false
  const look = (entries: readonly IntersectionObserverEntry[]) => {
    isNear = entries.at(-1)?.isIntersecting === true
    change()
  }
  // a little before it comes into sight
  new IntersectionObserver(look, { rootMargin: '150px' }).observe(element)
  document.addEventListener('visibilitychange', change)
  return () => isNear && document.visibilityState === 'visible'
}

/** The Server-Timing field of a file's answer: where its bytes come from, and what they cost. */
import type { Exchange } from '../metrics/exchange.ts'

/**
 * What is known when the headers are written: all of an answer of one window, the first of a longer one.
 * @param source of the first window; undefined without a body
 * @see https://www.w3.org/TR/server-timing/
 */
export function serverTiming(exchange: Exchange, source: 'mapped' | 'read' | undefined): string {
  const { residentWindows, coldWindows, minorFaults, majorFaults } = exchange
  const elapsedMs = performance.now() - exchange.startedAtMs
  return [
    `src;desc="${source ?? 'none'}"`,
    `win;desc="resident=${residentWindows}, cold=${coldWindows}"`,
    `flt;desc="minor=${minorFaults}, major=${majorFaults}"`,
    `open;dur=${(exchange.openedAfterMs ?? 0).toFixed(3)}`,
    `ttfb;dur=${elapsedMs.toFixed(3)}`
  ].join(', ')
}

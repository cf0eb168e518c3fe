// What the pages share: where the files are, the list of requests, and how a page says that it is done.

/** URL of the folder with the files, without a slash at its end. */
export const files =
  new URLSearchParams(location.search).get('files') ?? 'http://127.0.0.1:8080/files'

/**
 * Says what was read, below the page and for a test: `data-result` of the body.
 * @param {string} text for people
 */
export function done(text) {
  document.querySelector('#result').textContent = text
  document.body.dataset.result = 'ok'
}

/** @param {unknown} error */
export function failed(error) {
  document.querySelector('#result').textContent = String(error)
  document.body.dataset.result = String(error)
}

addEventListener('error', ({ message }) => failed(message))
addEventListener('unhandledrejection', ({ reason }) => failed(reason))

const table = document.querySelector('#requests')
let bytes = 0

// An entry has sizes and Server-Timing only where the service sends Timing-Allow-Origin.
new PerformanceObserver((list) => {
  for (const { name, encodedBodySize, serverTiming, duration } of list.getEntries()) {
    if (!name.startsWith(files)) continue
    bytes += encodedBodySize
    document.body.dataset.bytes = `${bytes}`
    const source = serverTiming.find((timing) => timing.name === 'src')?.description ?? ''
    const row = table.insertRow()
    const file = name.slice(files.length + 1)
    for (const text of [file, `${encodedBodySize} bytes`, source, `${duration.toFixed(1)} ms`]) {
      row.insertCell().textContent = text
    }
  }
}).observe({ type: 'resource', buffered: true })

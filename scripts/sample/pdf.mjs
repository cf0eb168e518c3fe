// A PDF of eight pages, each with a view of the island that is not compressed: its table of objects is at the end, and a
// reader that knows ranges gets the pages that are looked at. ISO 32000-1, sections 7.5 and 8.9.
import { heightAt } from './terrain.mjs'

const pages = 8
const pixels = 144

export function pdf() {
  const objects = []
  const add = (...parts) => objects.push(Buffer.concat(parts.map((part) => Buffer.from(part))))
  const first = 4
  const numbers = Array.from({ length: pages }, (_, page) => first + 2 * page)
  add('<< /Type /Catalog /Pages 2 0 R >>')
  add(`<< /Type /Pages /Count ${pages} /Kids [${numbers.map((n) => `${n} 0 R`).join(' ')}] >>`)
  add('<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>')
  for (const [page, number] of numbers.entries()) {
    const view = first + 2 * pages + page
    const resources = `/Resources << /Font << /F 3 0 R >> /XObject << /I ${view} 0 R >> >>`
    add(
      `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 420 595] ${resources} /Contents ${number + 1} 0 R >>`
    )
    const text = `BT /F 18 Tf 40 540 Td (The island, page ${page + 1} of ${pages}) Tj ET`
    add(...stream('', `${text}\nq 340 0 0 340 40 160 cm /I Do Q\n`))
  }
  // the views last: a reader looks at every page's object to find the one that is asked for
  for (let page = 0; page < pages; page++) {
    const image = `/Type /XObject /Subtype /Image /Width ${pixels} /Height ${pixels} /ColorSpace /DeviceGray /BitsPerComponent 8`
    add(...stream(image, viewOf(page)))
  }
  return layOut(objects)
}

function stream(entries, bytes) {
  return [`<< ${entries} /Length ${bytes.length} >>\nstream\n`, bytes, '\nendstream']
}

/** A strip of the island from the north to the south, as heights in grey. */
function viewOf(page) {
  const bytes = Buffer.alloc(pixels * pixels)
  for (let row = 0; row < pixels; row++) {
    for (let column = 0; column < pixels; column++) {
      const height = heightAt(column / pixels, (page + row / pixels) / pages)
      bytes[row * pixels + column] = Math.max(0, Math.min(255, Math.round(90 + height / 12)))
    }
  }
  return bytes
}

function layOut(objects) {
  const parts = [Buffer.from('%PDF-1.4\n%\xb5\xb5\xb5\xb5\n', 'latin1')]
  let at = parts[0].length
  const offsets = objects.map((object, i) => {
    const bytes = Buffer.concat([
      Buffer.from(`${i + 1} 0 obj\n`),
      object,
      Buffer.from('\nendobj\n')
    ])
    parts.push(bytes)
    at += bytes.length
    return at - bytes.length
  })
  const entry = (offset, rest) => `${`${offset}`.padStart(10, '0')} ${rest} \n`
  const table = [entry(0, '65535 f'), ...offsets.map((offset) => entry(offset, '00000 n'))].join('')
  const size = objects.length + 1
  parts.push(
    Buffer.from(
      `xref\n0 ${size}\n${table}trailer\n<< /Size ${size} /Root 1 0 R >>\nstartxref\n${at}\n%%EOF\n`
    )
  )
  return Buffer.concat(parts)
}

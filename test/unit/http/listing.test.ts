import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  encodePath,
  type ListingEntry,
  listingFormatFor,
  listingHtml,
  listingJson,
  sizeText
} from '#src/http/listing.ts'
import { decodeRequestPath } from '#src/http/request-path.ts'

const mtimeMs = Date.UTC(2026, 10, 25, 4, 12, 59)
const file = (name: string, size = 5): ListingEntry => ({ name, isFolder: false, size, mtimeMs })
const folder = (name: string): ListingEntry => ({ name, isFolder: true, size: 0, mtimeMs })
const html = (path: string, ...entries: ListingEntry[]) =>
  [...listingHtml('/files/', path, entries)].join('')

// what a name on Linux may be, in UTF-8
const fileName = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
  .filter((name) => !/[/\0]/.test(name) && !/^\.{1,2}$/.test(name) && !/\p{Cs}/u.test(name))

describe('the listing as HTML', () => {
  it('has what GDAL looks for: the title, and each entry on a line with a date and a size', () => {
    const page = html('a b/c', folder('d'), file('e.tif', 1234))
    assert.ok(page.includes('<title>Index of /files/a b/c/</title>\n'))
    const lines = page.split('\n').filter((line) => line.includes('<a href="'))
    assert.equal(lines.length, 2, 'the breadcrumbs are none')
    assert.match(lines[0] ?? '', /<a href="d\/"/)
    assert.match(lines[1] ?? '', /<a href="e\.tif".*25-Nov-2026 04:12 1234 bytes/)
    assert.equal(page.split('<table').length, 2)
  })

  it('has breadcrumbs from the root to the folder', () => {
    assert.ok(
      html('a b/c').includes(
        '<h1><a class="up" href="/files/"><bdi>/files</bdi></a> / ' +
          '<a class="up" href="/files/a%20b/"><bdi>a b</bdi></a> / <bdi>c</bdi></h1>'
      )
    )
    assert.ok([...listingHtml('/', '', [])].join('').includes('<h1><bdi>/</bdi></h1>'))
  })

  it('says in words what the folder holds', () => {
    assert.ok(html('').includes('This folder is empty.'))
    assert.ok(html('', folder('a'), file('b', 1024)).includes('<p>1 folder, 1 file, 1.0 KiB</p>'))
  })

  it('links to names of any characters, and no name is markup', () => {
    fc.assert(
      fc.property(fileName, fc.boolean(), (name, isFolder) => {
        const page = html('x', isFolder ? folder(name) : file(name))
        const links = [...page.matchAll(/<a href="([^"]*)"/g)].map(([, href]) => href ?? '')
        assert.equal(links.length, 1)
        const url = new URL(links[0] ?? '', 'http://h/files/x/')
        assert.equal(url.origin, 'http://h')
        const path = url.pathname.slice('/files/'.length, isFolder ? -1 : undefined)
        assert.equal(decodeRequestPath(path, { dotfiles: 'allow' }), `x/${name}`)
        // the page with a plain name has the same tags and lines
        const bare = (text: string) => text.replaceAll(/"[^"]*"/g, '').match(/<[^>]*>|\n/g)
        assert.deepEqual(bare(page), bare(html('x', isFolder ? folder('n') : file('n'))))
      })
    )
  })
})

it('a name cannot turn its own end around', () => {
  assert.match(html('', file('a\u202egpj.exe')), /<bdi>a\ufffdgpj\.exe<\/bdi>/)
})

describe('the listing as JSON', () => {
  it('is that of nginx', () => {
    assert.deepEqual(JSON.parse([...listingJson([folder('a'), file('b"\n')])].join('')), [
      { name: 'a', type: 'directory', mtime: 'Wed, 25 Nov 2026 04:12:59 GMT' },
      { name: 'b"\n', type: 'file', mtime: 'Wed, 25 Nov 2026 04:12:59 GMT', size: 5 }
    ])
    assert.deepEqual(JSON.parse([...listingJson([])].join('')), [])
  })
})

describe('Accept', () => {
  for (const [accept, format] of [
    [undefined, 'html'],
    ['', 'html'],
    ['*/*', 'html'],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8', 'html'],
    ['application/json', 'json'],
    ['application/json, text/plain, */*', 'json'],
    ['Application/JSON;charset=utf-8', 'json'],
    ['application/json;q=0.5, text/html', 'html'],
    ['application/json, text/html;q=0.9', 'json'],
    ['text/html, application/json', 'html'],
    ['application/json;q=0', 'html'],
    ['application/json;q=0.5, */*;q=0.1', 'json'],
    ['image/png', 'html']
  ] as const) {
    it(`${accept} gets ${format}`, () => assert.equal(listingFormatFor(accept), format))
  }
})

it('sizes have three digits or four, and a unit', () => {
  for (const [bytes, text] of [
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.0 KiB'],
    [10_000, '9.8 KiB'],
    [100_000, '98 KiB'],
    [2 ** 20 - 1, '1.0 MiB'],
    [3 * 2 ** 30, '3.0 GiB']
  ] as const) {
    assert.equal(sizeText(bytes), text)
  }
})

it('a path is encoded name by name', () => {
  assert.equal(encodePath('a b/%2f\\é'), 'a%20b/%252f%5C%C3%A9')
})

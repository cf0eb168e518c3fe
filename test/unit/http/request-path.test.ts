/** Paths as they come in a request target, and what may become of them. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { decodeCarefully, decodeRequestPath } from '#src/http/request-path.ts'

const decode = (rawPath: string) => decodeRequestPath(rawPath, { dotfiles: 'allow' })

describe('a path is decoded exactly once', () => {
  for (const [title, rawPath, decoded] of [
    ['nothing to decode', 'maps/world.pmtiles', 'maps/world.pmtiles'],
    ['a blank', 'a%20b', 'a b'],
    ['a plus, which is no blank', 'a+b', 'a+b'],
    ['UTF-8', '%E2%82%AC/%c3%a9', '€/é'],
    ['beyond the first plane', '%F0%9F%97%BA', '🗺'],
    ['an encoded percent', '100%25', '100%'],
    ['an encoded encoding stays literal', '%252e%252e/x', '%2e%2e/x'],
    ['an encoded encoded slash stays literal', 'a%252fb', 'a%2fb'],
    ['an encoded NUL of an encoding stays literal', 'a%2500', 'a%00'],
    ['a question mark', 'a%3Fb', 'a?b'],
    ['a hash', 'a%23b', 'a#b'],
    ['a backslash is a character of a name on Linux', 'a%5Cb', 'a\\b'],
    ['two dots and a backslash are a name', '..%5C..%5Cetc', '..\\..\\etc'],
    ['three dots are a name', '...', '...'],
    ['dots at the end are a name', 'a../b.', 'a../b.'],
    ['dots at the beginning are a name', '..a/.b', '..a/.b'],
    ['a semicolon has no meaning', 'a;v=1/..;x', 'a;v=1/..;x'],
    ['a line break is a character of a name', 'a%0Ab', 'a\nb']
  ] as const) {
    it(`${title}: ${rawPath}`, () => {
      assert.equal(decode(rawPath), decoded)
    })
  }
})

describe('a path that no file can have or that may not be reached is refused', () => {
  for (const [title, rawPath] of [
    ['two dots', '..'],
    ['two dots first', '../etc/passwd'],
    ['two dots within', 'a/../b'],
    ['two dots last', 'a/..'],
    ['encoded dots', '%2e%2e/etc/passwd'],
    ['encoded dots in capitals', 'a/%2E%2E/b'],
    ['a dot and an encoded one', '.%2e/x'],
    ['an encoded dot and a dot', 'a/%2E./x'],
    ['one dot', './a'],
    ['one dot within', 'a/./b'],
    ['one encoded dot', 'a/%2e/b'],
    ['one dot alone', '.'],
    ['NUL', 'a%00'],
    ['NUL that hides an ending', 'a%00.txt'],
    ['NUL behind two dots', '..%00/x'],
    ['a bare NUL', 'a\0b'],
    ['an encoded slash', 'a%2fb'],
    ['an encoded slash in capitals', 'a%2Fb'],
    ['encoded slashes around dots', '%2f..%2f..%2fetc'],
    ['dots with an encoded slash', '..%2fetc'],
    ['nothing', ''],
    ['a slash alone', '/'],
    ['a slash first', '/etc/passwd'],
    ['a slash last', 'a/'],
    ['two slashes', 'a//b'],
    ['overlong UTF-8 of a dot', '%c0%ae%c0%ae/x'],
    ['overlong UTF-8 of a slash', 'a%c0%afb'],
    ['overlong UTF-8 of three bytes', '%e0%80%ae%e0%80%ae/x'],
    ['UTF-8 of a surrogate', '%ed%a0%80'],
    ['UTF-8 that ends early', '%e2%82'],
    ['a continuation byte alone', '%80'],
    ['Latin-1', 'caf%e9'],
    ['a percent alone', '100%'],
    ['one digit', 'a%2'],
    ['letters that are no digits', 'a%zz'],
    ['the %u notation', '%u002e%u002e/x']
  ] as const) {
    it(`${title}: ${JSON.stringify(rawPath)}`, () => {
      assert.equal(decode(rawPath), undefined)
    })
  }
})

describe('dotfiles', () => {
  const paths = ['.env', '.git/config', 'a/.b/c', 'a/.b', '%2eenv', 'a/%2Eb', '..a', '...']
  it('are refused at any depth and in any encoding where they are denied', () => {
    for (const rawPath of paths) {
      assert.equal(decodeRequestPath(rawPath, { dotfiles: 'deny' }), undefined, rawPath)
    }
  })

  it('are names like others where they are allowed', () => {
    for (const rawPath of paths) {
      assert.equal(decodeRequestPath(rawPath, { dotfiles: 'allow' }), rawPath.replace(/%2e/i, '.'))
    }
  })

  it('are not names with a dot elsewhere', () => {
    for (const rawPath of ['a.b', 'a.', 'a/b.c', '%20.a']) {
      const decoded = decodeURIComponent(rawPath)
      assert.equal(decodeRequestPath(rawPath, { dotfiles: 'deny' }), decoded, rawPath)
    }
  })
})

describe('the lengths that Linux takes', () => {
  it('are 255 bytes for a name, decoded', () => {
    assert.equal(decode('a'.repeat(255)), 'a'.repeat(255))
    assert.equal(decode('a'.repeat(256)), undefined)
    assert.equal(decode(`x/${'%61'.repeat(255)}`), `x/${'a'.repeat(255)}`)
    // three bytes each in UTF-8
    assert.equal(decode('%E2%82%AC'.repeat(85)), '€'.repeat(85))
    assert.equal(decode(`${'%E2%82%AC'.repeat(85)}a`), undefined)
    assert.equal(decode(`ok/${'%E2%82%AC'.repeat(86)}`), undefined)
  })

  it('are 4095 bytes for a path, decoded', () => {
    const path = `${`${'a'.repeat(127)}/`.repeat(31)}${'b'.repeat(127)}`
    assert.equal(path.length, 4095)
    assert.equal(decode(path), path)
    assert.equal(decode(`${path}b`), undefined)
  })
})

describe('any path', () => {
  const name = fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
    .filter((text) => text !== '.' && text !== '..' && !/[/\0]/.test(text))
    .filter((text) => Buffer.from(text).toString() === text && Buffer.byteLength(text) <= 255)
  const nearDots = fc.constantFrom('...', '..a', 'a..', ' ..', '.. ', '%2e%2e', '%2f', '..\\', '.a')
  const names = fc.array(fc.oneof({ weight: 4, arbitrary: name }, nearDots), {
    minLength: 1,
    maxLength: 8
  })

  it('of legal names, each encoded, decodes to these names', () => {
    fc.assert(
      fc.property(names, (list) => {
        assert.equal(decode(list.map(encodeURIComponent).join('/')), list.join('/'))
      }),
      { numRuns: 500 }
    )
  })

  it('of legal names, with every byte encoded, decodes to these names', () => {
    const encodeAll = (text: string) =>
      [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')
    fc.assert(
      fc.property(names, (list) => {
        assert.equal(decode(list.map(encodeAll).join('/')), list.join('/'))
      })
    )
  })

  it('gives names that stay below the root, or none', () => {
    const pieces = fc.constantFrom(
      '.',
      '..',
      '%2e',
      '%2E',
      '%',
      '/',
      '//',
      '%2f',
      '%5c',
      '%00',
      '\0',
      '%c0%ae',
      '%25',
      '2e',
      'a'
    )
    const anyPath = fc.oneof(
      fc.array(pieces, { maxLength: 10 }).map((list) => list.join('')),
      fc.string({ unit: 'binary' })
    )
    const dotfiles = fc.constantFrom('allow' as const, 'deny' as const)
    fc.assert(
      fc.property(anyPath, dotfiles, (rawPath, rule) => {
        const decoded = decodeRequestPath(rawPath, { dotfiles: rule })
        if (decoded === undefined) return
        assert.ok(!decoded.includes('\0'))
        for (const each of decoded.split('/')) {
          assert.ok(!['', '.', '..'].includes(each), decoded)
          assert.ok(rule === 'allow' || each[0] !== '.', decoded)
        }
      }),
      { numRuns: 3000 }
    )
  })
})

describe('the quick way', () => {
  it('agrees with the careful one', () => {
    const piece = fc.oneof(
      fc.constantFrom('/', '/', '.', '..', '%', '%2f', '%41', '%2e', '%00', '%ff', '\0', '\\', ' '),
      fc.constantFrom('a', 'tiles', '0', '-', '~', '+', ':', '@', ';', '"', '#', '?', 'é', '日'),
      fc.constantFrom('n'.repeat(254), 'n'.repeat(255), 'n'.repeat(256)),
      fc.string({ maxLength: 3 })
    )
    const rawPath = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''))
    const dotfiles = fc.constantFrom('allow', 'deny')
    fc.assert(
      fc.property(rawPath, dotfiles, (rawPath, dotfiles) => {
        const options = { dotfiles }
        assert.equal(decodeRequestPath(rawPath, options), decodeCarefully(rawPath, options))
      }),
      { numRuns: 20_000 }
    )
  })
})

/** Which file may import which: each floor only what is below it. Imports of types count as well. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { builtinModules } from 'node:module'
import path from 'node:path'
import { describe, it } from 'node:test'
import { projectFolder } from '../support/project.ts'

/** From the ground up. A folder is everything below it, but for what has a line of its own. */
const floors: readonly (readonly string[])[] = [
  ['storage/native', 'http', 'http/byte-range.ts', 'config'],
  ['storage', 'metrics'],
  ['delivery'],
  ['fast-path', 'routes', 'plugins'],
  ['app.ts', 'plugin.ts'],
  ['process', 'advise', 'main.ts']
]
const looseFiles = ['main.ts', 'app.ts', 'plugin.ts']

/** Edges within a floor, between two folders: [from, to, why]. */
const sideways: readonly (readonly [from: string, to: string, why: string])[] = [
  ['http', 'http/byte-range.ts', 'two numbers, which storage has too'],
  ['metrics', 'storage', 'gauges are read from the storage when they are scraped'],
  ['main.ts', 'process', 'the program runs the service'],
  ['main.ts', 'advise', 'the program also advises'],
  ['routes', 'plugins', 'what a plugin makes, such as header fields, is sent by routes']
]

/** Edges that the floors would allow: [from, to, why not]. */
const forbidden: readonly (readonly [from: string, to: string, why: string])[] = [
  ['storage', 'http', 'storage yields bytes of files; it has no idea of requests'],
  ['storage', 'config', 'its callers choose what it is told; it has options of its own']
]

/** Packages that belong to one place, whatever is below or above it. */
const onlyIn: Readonly<Record<string, readonly string[]>> = {
  koffi: ['storage/native'],
  'mmap-io': ['storage/native'],
  'prom-client': ['metrics']
}

/** Modules that a folder must not know: [from, modules, why]. */
const unknownTo: readonly (readonly [from: string, modules: RegExp, why: string])[] = [
  ['storage/native', /^(?!node:|koffi$|mmap-io$)/, 'calls into the kernel need nothing else'],
  ['storage/native', /^node:(https?|http2|net|tls)$/, 'nothing is served here'],
  ['storage', /^(@?fastify\b|node:(https?|http2|net|tls)$)/, 'storage is for any program'],
  // of node:http it may have the types of headers
  [
    'http',
    /^(@?fastify\b|node:(fs|https|http2|net|tls|stream|process)(\/|$))/,
    'pure functions over texts and numbers'
  ],
  ['config', /^(?!node:)/, 'read before anything else is loaded'],
  ['delivery', /^(@?fastify\b|node:(https?|http2)$)/, 'a sink may be a plain socket'],
  ['fast-path', /^@?fastify\b/, 'it answers below Fastify']
]
// below the top floor nothing knows that there are several processes
const processModules = /^node:(cluster|child_process|worker_threads)$/

const sourceFolder = path.join(projectFolder, 'src')

interface Import {
  readonly from: string
  /** a file below src/, or the name of a package or of a module of Node */
  readonly to: string
}

const files = fs
  .readdirSync(sourceFolder, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .sort()
const imports = files.flatMap((file) => {
  const text = fs.readFileSync(path.join(sourceFolder, file), 'utf8')
  return specifiersIn(text).map((specifier) => ({ from: file, to: targetOf(file, specifier) }))
})

describe('imports', () => {
  it('point downwards, and keep to what each folder may know', () => {
    const broken = new Map(
      imports.flatMap((edge) => {
        const why = whyNot(edge)
        return why === undefined ? [] : [[nameOf(edge), why]]
      })
    )
    assert.deepEqual([...broken].map(([edge, why]) => `${edge}: ${why}`).sort(), [])
  })

  it('make no circle of files', () => {
    assert.deepEqual(circles(imports), [])
  })

  it('reach files that are there, or modules', () => {
    const isThere = new Set(files)
    const missing = imports.filter(({ to }) => to.endsWith('.ts') && !isThere.has(to))
    assert.deepEqual(missing.map(nameOf), [])
    for (const { to } of imports) {
      assert.ok(!builtinModules.includes(to), `${to} is imported without node:`)
    }
  })

  it('are of files that all have a place', () => {
    for (const file of files) assert.notEqual(placeOf(file), undefined, `${file} is on no floor`)
    const loose = files.filter((file) => !file.includes('/'))
    assert.deepEqual(
      loose.filter((file) => !looseFiles.includes(file)),
      []
    )
  })
})

describe('this test', () => {
  it('sees every form of an import', () => {
    const seen = (text: string) => specifiersIn(text)
    assert.deepEqual(seen("import a from './a.ts'"), ['./a.ts'])
    assert.deepEqual(seen("import a, { type B, c as d } from './a.ts'"), ['./a.ts'])
    assert.deepEqual(seen("import {\n  a,\n  b\n} from './a.ts'\n"), ['./a.ts'])
    assert.deepEqual(seen("import * as a from 'a'\nimport 'b'"), ['a', 'b'])
    assert.deepEqual(seen("import type { A } from './a.ts'"), ['./a.ts'])
    assert.deepEqual(seen("export * from './a.ts'\nexport type { B } from './b.ts'"), [
      './a.ts',
      './b.ts'
    ])
    assert.deepEqual(seen("const a = await import('./a.ts')"), ['./a.ts'])
    assert.deepEqual(seen("const k = require('koffi') as typeof import('koffi')"), [
      'koffi',
      'koffi'
    ])
    assert.deepEqual(seen("export const a = 1 // from 'x'\nexport function b() {}"), [])
    assert.throws(() => seen('require(name)'), /cannot be read/)
    assert.throws(() => seen("import('./' + name)"), /cannot be read/)
  })

  it('finds a broken rule', () => {
    const refused = (from: string, to: string) => whyNot({ from, to }) !== undefined
    assert.ok(refused('http/range.ts', 'storage/errors.ts'), 'upwards')
    assert.ok(refused('storage/native/stat.ts', 'storage/errors.ts'), 'upwards, to its own parent')
    assert.ok(refused('http/range.ts', 'config/options.ts'), 'sideways')
    assert.ok(refused('storage/storage.ts', 'metrics/sum.ts'), 'sideways, against the direction')
    assert.ok(refused('plugins/cors.ts', 'routes/files.ts'), 'sideways, against the direction')
    assert.ok(refused('storage/storage.ts', 'http/range.ts'), 'forbidden')
    assert.ok(refused('storage/storage.ts', 'koffi'), "another place's package")
    assert.ok(refused('http/range.ts', 'fastify'), 'unknown')
    assert.ok(refused('http/range.ts', 'node:fs'), 'unknown')
    assert.ok(refused('delivery/stream.ts', '@fastify/sensible'), 'unknown')
    assert.ok(refused('storage/native/libc.ts', 'lru-cache'), 'unknown')
    assert.ok(refused('routes/files.ts', 'node:cluster'), 'processes')
    assert.ok(!refused('storage/native/libc.ts', 'koffi'))
    assert.ok(!refused('storage/regions.ts', 'storage/native/mapping.ts'))
    assert.ok(!refused('metrics/storage.ts', 'storage/storage.ts'))
    assert.ok(!refused('process/serve.ts', 'app.ts'))
    assert.ok(refused('process/serve.ts', 'advise/main.ts'), 'the service needs no advice')
  })

  it('finds circles, of two files and of more', () => {
    const edges = (...pairs: string[]) =>
      pairs.map((pair) => ({ from: pair.slice(0, 1), to: pair.slice(1) }))
    assert.deepEqual(circles(edges('ab', 'bc', 'ac')), [])
    assert.deepEqual(circles(edges('ab', 'bc', 'ca', 'cd')), ['a, b, c'])
    assert.deepEqual(circles(edges('ab', 'ba', 'cc')), ['a, b', 'c'])
  })
})

/** @returns the place with the longest name that holds the file */
function placeOf(file: string): string | undefined {
  return floors
    .flat()
    .filter((place) => file === place || file.startsWith(`${place}/`))
    .sort((a, b) => b.length - a.length)[0]
}

function floorOf(place: string): number {
  return floors.findIndex((places) => places.includes(place))
}

/** @returns what an import breaks; undefined: nothing */
function whyNot({ from, to }: Import): string | undefined {
  const place = placeOf(from)
  if (place === undefined) return 'the file is on no floor'
  if (!to.endsWith('.ts')) return whyNotModule(place, to)
  const target = placeOf(to)
  if (target === undefined) return 'what is imported is on no floor'
  if (target === place) return undefined
  const isEdge = ([a, b]: readonly string[]) => a === place && b === target
  const prohibition = forbidden.find(isEdge)
  if (prohibition !== undefined) return prohibition[2]
  if (floorOf(target) < floorOf(place) || sideways.some(isEdge)) return undefined
  return `${place} is not above ${target}`
}

function whyNotModule(place: string, name: string): string | undefined {
  const owners = onlyIn[name]
  if (owners !== undefined && !owners.includes(place)) return `only for ${owners.join(', ')}`
  if (processModules.test(name) && floorOf(place) < floors.length - 1) return 'only for process/'
  return unknownTo.find(([from, modules]) => from === place && modules.test(name))?.[2]
}

/**
 * The texts after `from`, and in `import()` and `require()`, of a file that Biome has formatted.
 * @throws when one is computed: this test could not follow it
 */
function specifiersIn(text: string): string[] {
  const statements = text.matchAll(
    /^(?:import|export)\s+(?:(?:[\w*$,\s]|\{[^}]*\})*?\sfrom\s*)?'([^']+)'/gm
  )
  const calls = text.matchAll(/\b(?:import|require|require\.resolve)\(\s*([^)]*?)\s*\)/g)
  return [
    ...[...statements].map(([, specifier]) => specifier as string),
    ...[...calls].map(([call, argument]) => {
      const specifier = /^'([^']+)'$/.exec(argument as string)?.[1]
      assert.ok(specifier !== undefined, `${call} cannot be read`)
      return specifier
    })
  ]
}

function targetOf(file: string, specifier: string): string {
  if (specifier.startsWith('.')) return path.posix.join(path.posix.dirname(file), specifier)
  if (specifier.startsWith('#src/')) return specifier.slice('#src/'.length)
  if (specifier.startsWith('node:')) return specifier
  // of a package its name: mime of mime/types/other.js, @fastify/cors as it is
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

function nameOf({ from, to }: Import): string {
  return `${from} -> ${to}`
}

/** @returns the groups of files that each reach one another, as lists of names, sorted */
function circles(edges: readonly Import[]): string[] {
  const next = new Map<string, string[]>()
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to])
  const reach = new Map([...next.keys()].map((file) => [file, reachableFrom(file, next)]))
  const groups = [...reach]
    .filter(([file, reached]) => reached.has(file))
    .map(([file, reached]) =>
      [...reached]
        .filter((other) => reach.get(other)?.has(file) === true)
        .sort()
        .join(', ')
    )
  return [...new Set(groups)].sort()
}

function reachableFrom(
  start: string,
  next: ReadonlyMap<string, readonly string[]>
): ReadonlySet<string> {
  const reached = new Set<string>()
  const waiting = [...(next.get(start) ?? [])]
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (reached.has(file)) continue
    reached.add(file)
    waiting.push(...(next.get(file) ?? []))
  }
  return reached
}

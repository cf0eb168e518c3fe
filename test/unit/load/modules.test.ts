/** How the modules of the harness depend on each other and on packages. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { projectFolder } from '../../support/project.ts'

const folder = path.join(projectFolder, 'load')
const files = fs.readdirSync(folder).filter((name) => name.endsWith('.ts'))
const sources = new Map(
  files.map((name) => [name, fs.readFileSync(path.join(folder, name), 'utf8')])
)

/** What a module imports, types included. */
function imports(source: string): string[] {
  const statements = source.matchAll(/^(?:import|export)\b[^'"`;]*?\bfrom '([^']+)'/gm)
  const sideEffects = source.matchAll(/^import '([^']+)'/gm)
  const calls = source.matchAll(/\b(?:import|require|require\.resolve)\('([^']+)'\)/g)
  return [...statements, ...sideEffects, ...calls].map(([, name]) => name as string)
}

/** The way from a module back to itself; undefined: there is none below it. */
function cycleFrom(graph: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>()
  const visit = (name: string, way: readonly string[]): string[] | undefined => {
    if (way.includes(name)) return [...way.slice(way.indexOf(name)), name]
    if (done.has(name)) return undefined
    for (const next of graph.get(name) ?? []) {
      const cycle = visit(next, [...way, name])
      if (cycle !== undefined) return cycle
    }
    done.add(name)
    return undefined
  }
  for (const name of graph.keys()) {
    const cycle = visit(name, [])
    if (cycle !== undefined) return cycle
  }
  return undefined
}

describe('the modules of the harness', () => {
  const graph = new Map(
    [...sources].map(([name, source]) => [
      name,
      imports(source)
        .filter((imported) => imported.startsWith('./'))
        .map((imported) => imported.slice(2))
    ])
  )

  it('import each other without a cycle', () => {
    assert.ok((graph.get('main.ts') ?? []).includes('trial.ts'), 'imports are found')
    for (const imported of [...graph.values()].flat()) assert.ok(graph.has(imported), imported)
    assert.equal(cycleFrom(graph)?.join(' → '), undefined)
  })

  it('a cycle would be found', () => {
    const cyclic = new Map([
      ['a', ['b', 'd']],
      ['b', ['c']],
      ['c', ['d', 'b']],
      ['d', []]
    ])
    assert.deepEqual(cycleFrom(cyclic), ['b', 'c', 'b'])
  })

  it('that are started as processes export nothing', () => {
    for (const entry of ['main.ts', 'generator.ts', 'fastify-static.ts', 'textbook.ts']) {
      assert.doesNotMatch(sources.get(entry) as string, /^export\b/m, entry)
      assert.ok(![...graph.values()].flat().includes(entry), entry)
    }
  })

  it('use the packages that load/package.json asks for, all of them and no other', () => {
    const { dependencies } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'))
    const imported = [...sources.values()]
      .flatMap(imports)
      .filter((name) => !/^(\.|#|node:)/.test(name))
      .map((name) => /^(@[^/]+\/)?[^/]+/.exec(name)?.[0])
    assert.deepEqual([...new Set(imported)].sort(), Object.keys(dependencies).sort())
  })

  it('take nothing from the service but what advises, and by running it', () => {
    for (const [name, source] of sources) {
      const others = imports(source).filter((imported) => /^(#|\.\.)/.test(imported))
      for (const imported of others) assert.match(imported, /^#src\/advise\//, name)
    }
  })
})

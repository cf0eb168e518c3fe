import assert from 'node:assert/strict'
import { it } from 'node:test'
import { Readiness } from '#src/routes/readiness.ts'
import type { Catalog } from '#src/storage/catalog.ts'
import type { WarmUp } from '#src/storage/warm-up.ts'

const warm = { isDone: true } as unknown as WarmUp

/** A root whose file system answers when the test wants it to; it counts the questions. */
function rootOf() {
  let asked = 0
  let answer: { there(): void; gone(error: Error): void } = { there: () => {}, gone: () => {} }
  const assertRoot = () => {
    asked++
    return new Promise<void>((there, gone) => {
      answer = { there, gone }
    })
  }
  const readiness = new Readiness({ assertRoot } as unknown as Catalog, warm)
  return { readiness, asked: () => asked, answer: () => answer }
}

it('probes share one question, and none waits for ever on a root that hangs', async () => {
  const { readiness, asked, answer } = rootOf()
  const probes = () => Promise.all(Array.from({ length: 50 }, () => readiness.whyNot()))
  assert.deepEqual(new Set(await probes()), new Set(['the root does not answer']))
  const late = probes()
  assert.equal(asked(), 1, 'the first question is still open')
  answer().there()
  assert.deepEqual(new Set(await late), new Set([undefined]))
  const next = readiness.whyNot()
  assert.equal(asked(), 2)
  answer().gone(new Error('ENOENT'))
  assert.equal(await next, 'the root is gone')
  const back = readiness.whyNot()
  answer().there()
  assert.equal(await back, undefined)
  assert.equal(asked(), 3)
})

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { MappingError } from '#src/storage/native/mapping.ts'
import { pageBytes } from '#src/storage/native/page-size.ts'
import { countResident, type ResidencyCall } from '#src/storage/native/residency.ts'
import { mapResidency } from '#src/storage/residency-map.ts'
import { dropPages, hasResidentPages, warm } from '../../support/kernel-view.ts'
import { patternBytes, tempFolder } from '../../support/serve.ts'

const GiB = 2 ** 30
const pages = 3000
const size = pages * pageBytes - 100
const calls: readonly ResidencyCall[] = ['cachestat', 'mincore']

describe('the map of what is resident', () => {
  for (const call of calls) {
    it(`says all of a warm file and nothing of a cold one, by ${call}`, async (t) => {
      if (!isAnswered(t, call)) return
      const { file, path } = fileOf(t, size)
      warm(path)
      const whole = { trusted: true, residentBytes: size, cells: [1, 1, 1, 1, 1, 1, 1] }
      assert.deepEqual(await mapResidency(file, 0, size, 7, call), whole)
      const part = await mapResidency(file, pageBytes + 1, pageBytes + 3, 1, call)
      assert.deepEqual(part, { trusted: true, residentBytes: 2, cells: [1] })
      const nothing = await mapResidency(file, 5, 5, 3, call)
      assert.deepEqual(nothing, { trusted: true, residentBytes: 0, cells: [] })
      dropPages(path)
      if (hasResidentPages(path)) return t.skip('this file system keeps its pages')
      const cold = { trusted: true, residentBytes: 0, cells: [0, 0, 0, 0, 0] }
      assert.deepEqual(await mapResidency(file, 0, size, 5, call), cold)
      return
    })
  }

  it('is the same by cachestat and by mincore, for a file that is resident in parts', async (t) => {
    if (!isAnswered(t, 'cachestat')) return
    const { file, path, readPages } = fileOf(t, size)
    dropPages(path)
    if (hasResidentPages(path)) return t.skip('this file system keeps its pages')
    // readahead would bring in neighbours; whatever it does, both are asked about the same pages
    readPages(0, 1)
    readPages(700, 900)
    readPages(2500, 2503)
    readPages(pages - 1, pages)
    for (const cells of [1, 10, 333, pages]) {
      for (const [start, end] of [
        [0, size],
        [699 * pageBytes + 17, 2501 * pageBytes + 1],
        [size - 1, size]
      ] as const) {
        const [one, other] = [
          await mapResidency(file, start, end, cells, 'cachestat'),
          await mapResidency(file, start, end, cells, 'mincore')
        ]
        assert.deepEqual(one, other)
        // a page in which two pieces meet is in both of them, and once in the sum
        const ofRange = (from: number, to: number) => {
          const first = Math.floor(from / pageBytes)
          const count = Math.ceil(Math.max(to, from + 1) / pageBytes) - first
          const offset = first * pageBytes
          return (
            (countResident(file.fd, offset, count * pageBytes, 'cachestat') ?? Number.NaN) / count
          )
        }
        const place = (cell: number) => start + Math.floor(((end - start) * cell) / cells)
        const shares = one.cells.map((_, cell) => ofRange(place(cell), place(cell + 1)))
        assert.deepEqual(one.cells, shares)
        const spanned = Math.ceil(end / pageBytes) - Math.floor(start / pageBytes)
        const resident = Math.round(ofRange(start, end) * spanned) * pageBytes
        assert.equal(one.residentBytes, Math.min(resident, end - start))
      }
    }
    const { residentBytes, cells } = await mapResidency(file, 0, size, pages, 'mincore')
    assert.ok(residentBytes !== null && residentBytes >= 204 * pageBytes && residentBytes < size)
    assert.equal(cells[800], 1)
    assert.equal(cells[1700], 0)
    return
  })

  for (const [call, length] of [
    ['cachestat', 256 * GiB],
    ['mincore', 16 * GiB]
  ] as const) {
    it(`lets timers run while it asks about a huge file, by ${call}`, async (t) => {
      if (!isAnswered(t, call)) return
      const { file } = fileOf(t, 0, length)
      let ticks = 0
      const timer = setInterval(() => ticks++, 1)
      const startedAtMs = performance.now()
      const { residentBytes } = await mapResidency(file, 0, length, 10, call)
      const ms = performance.now() - startedAtMs
      clearInterval(timer)
      assert.equal(residentBytes, 0)
      // a turn takes about 1 ms; the rest is for machines that do other things too
      assert.ok(ticks > 3 && ms / ticks < 10, `${ticks} turns in ${ms} ms`)
      t.diagnostic(`${ticks} turns in ${Math.round(ms)} ms`)
    })
  }

  it('is not given for a file whose residency cannot be trusted', async () => {
    const untrusted = { fd: -1, isTrusted: false }
    const nothing = { trusted: false, residentBytes: null, cells: [] }
    assert.deepEqual(await mapResidency(untrusted, 0, 100, 10), nothing)
  })

  it('turns to a mapping where cachestat has no answer, and says why that fails', async () => {
    const closed = { fd: 1_000_000, isTrusted: true }
    await assert.rejects(
      mapResidency(closed, 0, 100, 10),
      (error) => error instanceof MappingError && error.reason === 'EBADF'
    )
  })
})

/** Whether the kernel of this machine has the call; skips the test if not. */
function isAnswered(t: TestContext, call: ResidencyCall): boolean {
  const { file } = fileOf(t, 1)
  const isKnown = countResident(file.fd, 0, 1, call) !== undefined
  if (!isKnown) t.skip('this kernel has no cachestat(2)')
  return isKnown
}

/** A file with a pattern, and behind it a hole up to `length`. */
function fileOf(t: TestContext, patternLength: number, length = patternLength) {
  const path = join(tempFolder(t), 'file')
  fs.writeFileSync(path, patternBytes(0, patternLength))
  fs.truncateSync(path, length)
  const fd = fs.openSync(path, 'r')
  t.after(() => fs.closeSync(fd))
  const readPages = (from: number, to: number) => {
    const buffer = Buffer.alloc((to - from) * pageBytes)
    fs.readSync(fd, buffer, 0, buffer.length, from * pageBytes)
  }
  return { file: { fd, isTrusted: true }, path, readPages }
}

/** What is known of a file's age and of its changes, on real files; clocks are set where time has to pass. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { ChangeHistory, Freshness, type Habit, settleMs } from '#src/storage/freshness.ts'
import { type Generation, generationKey } from '#src/storage/native/stat.ts'
import { makeOld, patternBytes, tempFolder } from '../../support/serve.ts'

describe('the habit of a file that is opened again', () => {
  it('is none while nothing is known of it', (t) => {
    const { path, generation } = file(t)
    assert.equal(new ChangeHistory().habitOf(path, generation, 0), 'none')
  })

  for (const [title, was, change, expected] of [
    ['has grown', 'none', (path) => fs.appendFileSync(path, 'more'), 'grows'],
    ['has grown again', 'grows', (path) => fs.appendFileSync(path, 'more'), 'grows'],
    ['has another content', 'none', (path) => rewrite(path), 'is rewritten'],
    ['has another content after it grew', 'grows', (path) => rewrite(path), 'is rewritten'],
    ['has become shorter', 'none', (path) => fs.truncateSync(path, 10), 'is rewritten'],
    [
      'has grown after it was rewritten',
      'is rewritten',
      (path) => fs.appendFileSync(path, 'x'),
      'is rewritten'
    ]
  ] as const satisfies readonly (readonly [string, Habit, (path: string) => void, Habit])[]) {
    it(`${title}: ${was} becomes ${expected}`, (t) => {
      const known = file(t, was)
      const history = new ChangeHistory()
      history.remember('name', known.freshness)
      change(known.path)
      const now = generationAt(known.path)
      // the age of an inode that is known tells nothing new
      for (const ageMs of [0, 3_600_000])
        assert.equal(history.habitOf('name', now, ageMs), expected)
      assert.equal(history.habitOf('other name', now, 0), expected, 'the inode is the same')
    })
  }

  for (const [was, ageMs, expected] of [
    ['none', settleMs - 1, 'is rewritten'],
    ['none', settleMs, 'none'],
    ['grows', settleMs, 'none'],
    ['is rewritten', 3_600_000, 'is rewritten']
  ] as const) {
    it(`that was replaced ${ageMs} ms ago: ${was} becomes ${expected}`, (t) => {
      const known = file(t, was)
      const history = new ChangeHistory()
      history.remember('name', known.freshness)
      const next = file(t)
      assert.equal(history.habitOf('name', next.generation, ageMs), expected)
      assert.equal(history.habitOf('other name', next.generation, ageMs), 'none')
    })
  }

  it('is forgotten after a while', async (t) => {
    const known = file(t, 'is rewritten')
    const history = new ChangeHistory()
    history.remember('name', known.freshness)
    rewrite(known.path)
    const now = generationAt(known.path)
    // its clock is read once a millisecond at the most
    await wait(3)
    const startMs = performance.now()
    const clock = t.mock.method(performance, 'now', () => startMs + 9_000)
    assert.equal(history.habitOf('name', now, 3_600_000), 'is rewritten')
    clock.mock.restore()
    await wait(3)
    t.mock.method(performance, 'now', () => startMs + 10_100)
    assert.equal(history.habitOf('name', now, 3_600_000), 'none')
  })
})

describe('the age of a file', () => {
  const modifiedMs = Date.UTC(2024, 1, 29, 12, 0, 0, 700)
  const second = modifiedMs - 700

  it('makes it settled when its mtime tells it from the next content', (t) => {
    for (const [nowMs, isSettled] of [
      [modifiedMs, false],
      [modifiedMs + settleMs - 1, false],
      [modifiedMs + settleMs, true],
      [modifiedMs + 3_600_000, true]
    ] as const) {
      const { freshness } = at(t, modifiedMs, nowMs)
      assert.equal(freshness.isSettled, isSettled, `after ${nowMs - modifiedMs} ms`)
    }
  })

  it('makes it dated when the second of its mtime is over, and a step of the clock besides', (t) => {
    for (const [nowMs, isDated] of [
      [modifiedMs, false],
      [modifiedMs + settleMs, false],
      [second + 1009, false],
      [second + 1010, true]
    ] as const) {
      const { freshness } = at(t, modifiedMs, nowMs)
      assert.equal(freshness.isDated, isDated, `${nowMs - second} ms after its second began`)
    }
  })

  it('in the future is settled, but never dated before its time', (t) => {
    const { freshness } = at(t, modifiedMs, modifiedMs - 60_000)
    assert.equal(freshness.ageMs(), Number.POSITIVE_INFINITY)
    assert.equal(freshness.isSettled, true)
    assert.equal(freshness.isDated, false)
    t.mock.method(Date, 'now', () => second + 1010)
    assert.equal(freshness.isDated, true)
  })

  it('before 1970 is an age like any other', (t) => {
    const { freshness } = at(t, -86_399_250, modifiedMs)
    assert.equal(freshness.mtimeMs, -86_399_250)
    assert.equal(freshness.isSettled, true)
    assert.equal(freshness.isDated, true)
  })

  it('makes it quiet when it is settled, if it was not changed in place lately', (t) => {
    const startMs = performance.now()
    const { freshness } = at(t, modifiedMs, modifiedMs + 10, 'none')
    for (const [ms, isQuiet] of [
      [settleMs - 20, false],
      [settleMs + 20, true]
    ] as const) {
      const clock = t.mock.method(performance, 'now', () => startMs + ms)
      assert.equal(freshness.isQuiet, isQuiet)
      clock.mock.restore()
    }
    assert.equal(freshness.isQuiet, true, 'for good')
    assert.equal(freshness.isSettled, true, 'and settled with it, whatever the clock says')
  })

  for (const habit of ['grows', 'is rewritten'] as const) {
    it(`makes one that ${habit} quiet only after ten seconds`, (t) => {
      const { freshness } = at(t, modifiedMs, modifiedMs + 3_600_000, habit)
      const startMs = performance.now()
      assert.equal(freshness.isQuiet, false)
      assert.equal(freshness.isSettled, true)
      t.mock.method(performance, 'now', () => startMs + 10_001)
      assert.equal(freshness.isQuiet, true)
    })
  }
})

describe('the question whether a file is still the same', () => {
  it('is answered by its path and by its descriptor', async (t) => {
    const { path, freshness } = file(t)
    assert.equal(freshness.isStillNamed(), true)
    assert.equal(await freshness.isStillNamedSlowly(), true)
    assert.equal(freshness.hasSameContent(), true)
    fs.writeFileSync(`${path}.new`, 'other')
    fs.renameSync(`${path}.new`, path)
    assert.equal(freshness.isStillNamed(), false)
    assert.equal(await freshness.isStillNamedSlowly(), false)
    assert.equal(freshness.hasSameContent(), true)
  })

  it('is not asked again for a while when its path was seen to name it', (t) => {
    const { path, freshness } = file(t)
    const startMs = performance.now()
    t.mock.method(performance, 'now', () => startMs + 1000)
    assert.equal(freshness.wasChecked(0), false)
    assert.equal(freshness.wasChecked(900), false)
    assert.equal(freshness.wasChecked(2000), true)
    assert.equal(freshness.isStillNamed(), true)
    assert.equal(freshness.wasChecked(900), true)
    rewrite(path)
    t.mock.method(performance, 'now', () => startMs + 2000)
    assert.equal(freshness.isStillNamed(), false)
    assert.equal(freshness.wasChecked(900), false, 'another answer is no such look')
  })
})

describe('the watch of an answer', () => {
  for (const isLocal of [true, false]) {
    const where = isLocal ? 'on a local file system' : 'asked on the thread pool'

    it(`holds while nothing changes, ${where}`, async (t) => {
      const { freshness } = file(t, 'none', isLocal)
      const watch = freshness.watch(1000)
      assert.equal(typeof watch.holds(), isLocal ? 'boolean' : 'object')
      assert.equal(await watch.holds(), true)
    })

    it(`holds when the file has only grown, again and again, ${where}`, async (t) => {
      const { path, freshness } = file(t, 'none', isLocal)
      const watch = freshness.watch(1000)
      watch.offer(100, patternBytes(100, 300))
      assert.equal(await watch.holds(), true)
      for (let n = 0; n < 3; n++) {
        fs.appendFileSync(path, 'more')
        assert.equal(await watch.holds(), true)
        // from now on this is the content that it is compared with
        if (isLocal) assert.equal(watch.holds(), true)
      }
    })

    for (const [title, change] of Object.entries({
      'has grown, and a sample is another': (path: string) => {
        rewrite(path, 150)
        fs.appendFileSync(path, 'more')
      },
      'has another content of the same size': (path: string) => rewrite(path),
      'has another date': (path: string) => fs.utimesSync(path, 1, 1),
      'is shorter': (path: string) => fs.truncateSync(path, 999),
      'is longer than it was in the end, after it was shorter': (path: string) => {
        fs.truncateSync(path, 0)
        fs.appendFileSync(path, Buffer.alloc(2000))
      }
    })) {
      it(`does not hold when the file ${title}, ${where}`, async (t) => {
        const { path, freshness } = file(t, 'none', isLocal)
        const watch = freshness.watch(1000)
        watch.offer(100, patternBytes(100, 300))
        assert.equal(await watch.holds(), true)
        change(path)
        assert.equal(await watch.holds(), false)
      })
    }

    it(`does not hold when more was promised than there was, ${where}`, async (t) => {
      const { path, freshness } = file(t, 'none', isLocal)
      const watch = freshness.watch(1001)
      watch.offer(100, patternBytes(100, 300))
      assert.equal(await watch.holds(), true)
      fs.appendFileSync(path, 'more')
      assert.equal(await watch.holds(), false)
    })
  }

  it('holds though the path names another file', async (t) => {
    const { path, freshness } = file(t)
    const watch = freshness.watch(1000)
    fs.rmSync(path)
    assert.equal(await watch.holds(), true)
  })

  it('does not hold when growth cannot be told from a rewriting', async (t) => {
    const { path, freshness } = file(t)
    const watch = freshness.watch(1000)
    fs.writeFileSync(path, Buffer.alloc(2000))
    // read after the change: it proves nothing
    watch.offer(100, Buffer.alloc(200))
    assert.equal(await watch.holds(), false)
  })

  it('wants samples of a long answer less and less often, and finds each that it kept', async (t) => {
    const { path, freshness } = file(t)
    const watch = freshness.watch(1000)
    const wanted: number[] = []
    for (let n = 0; n < 500; n++) {
      if (!watch.wantsSample()) continue
      wanted.push(n)
      watch.offer(n, patternBytes(n, n + 1))
      assert.equal(watch.holds(), true)
    }
    assert.equal(wanted[0], 0)
    assert.ok(wanted.length < 100, `${wanted.length} of 500 were wanted`)
    assert.ok((wanted.at(-1) ?? 0) > 400, 'to the end')
    assert.equal(await watch.holds(), true)
    // the first one is kept for ever
    rewrite(path, 0, 1)
    fs.appendFileSync(path, 'more')
    assert.equal(await watch.holds(), false)
  })
})

interface Known {
  readonly path: string
  readonly generation: Generation
  readonly freshness: Freshness
}

/** A file of 1000 bytes that was there for long. */
function file(t: TestContext, habit: Habit = 'none', isLocal = true): Known {
  const path = join(tempFolder(t), 'file')
  fs.writeFileSync(path, patternBytes(0, 1000))
  makeOld(path)
  return known(t, path, habit, isLocal)
}

/** A file of a certain mtime, opened at a certain time, which stays until it is set again. */
function at(t: TestContext, modifiedMs: number, nowMs: number, habit: Habit = 'none'): Known {
  const path = join(tempFolder(t), 'file')
  fs.writeFileSync(path, patternBytes(0, 1000))
  fs.utimesSync(path, new Date(modifiedMs), new Date(modifiedMs))
  t.mock.method(Date, 'now', () => nowMs)
  return known(t, path, habit, true)
}

function known(t: TestContext, path: string, habit: Habit, isLocal: boolean): Known {
  const fd = fs.openSync(path, 'r')
  t.after(() => fs.closeSync(fd))
  const generation = generationAt(path)
  const freshness = new Freshness({
    fd,
    absolutePath: path,
    key: generationKey(generation),
    habit,
    isLocal
  })
  return { path, generation, freshness }
}

function generationAt(path: string): Generation {
  const { dev, ino, size, mtimeNs } = fs.statSync(path, { bigint: true })
  return { dev, ino, size, mtimeNs }
}

/** Other bytes in place. */
function rewrite(path: string, position = 0, length = 100): void {
  const fd = fs.openSync(path, 'r+')
  fs.writeSync(fd, Buffer.alloc(length, 0xff), 0, length, position)
  fs.closeSync(fd)
}

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import fc from 'fast-check'
import { SharedWork } from '#src/storage/shared-work.ts'

/** Work of which each run ends when the test says so. */
class Runs {
  readonly work: SharedWork<number>
  readonly signals: AbortSignal[] = []
  readonly #ends: { resolve(): void; reject(error: Error): void }[] = []

  constructor() {
    this.work = new SharedWork((signal) => {
      const number = this.signals.push(signal)
      return new Promise<number>((resolve, reject) => {
        this.#ends.push({ resolve: () => resolve(number), reject })
      })
    })
  }

  get count(): number {
    return this.signals.length
  }

  async end(number: number): Promise<void> {
    this.#ends[number - 1]?.resolve()
    await nextTurn()
  }

  async fail(number: number): Promise<void> {
    this.#ends[number - 1]?.reject(new Error(`run ${number}`))
    await nextTurn()
  }
}

describe('shared work', () => {
  it('runs once for all who ask before it begins', async () => {
    const runs = new Runs()
    const answers = [runs.work.ask(), runs.work.ask(), runs.work.ask()]
    await nextTurn()
    assert.equal(runs.count, 1)
    await runs.end(1)
    assert.deepEqual(await Promise.all(answers), [1, 1, 1])
    assert.ok(runs.work.isIdle)
  })

  it('gives who asks while it runs the result of the next run, and all of them the same', async () => {
    const runs = new Runs()
    const first = runs.work.ask()
    await nextTurn()
    const late = [runs.work.ask(), runs.work.ask()]
    await nextTurn()
    assert.equal(runs.count, 1, 'one at a time')
    await runs.end(1)
    assert.equal(await first, 1)
    assert.equal(runs.count, 2)
    assert.equal(runs.work.isIdle, false)
    const later = runs.work.ask()
    await runs.end(2)
    assert.deepEqual(await Promise.all(late), [2, 2])
    await runs.end(3)
    assert.equal(await later, 3)
    assert.ok(runs.work.isIdle)
  })

  it('tells a failure to those of its run, and runs for the others all the same', async () => {
    const runs = new Runs()
    const first = assert.rejects(runs.work.ask(), /run 1/)
    await nextTurn()
    const late = runs.work.ask()
    await runs.fail(1)
    await first
    await runs.end(2)
    assert.equal(await late, 2)
  })

  it('goes on for those who stay when others leave', async () => {
    const runs = new Runs()
    const leaving = new AbortController()
    const left = assert.rejects(runs.work.ask(leaving.signal), /gone/)
    const stays = runs.work.ask(new AbortController().signal)
    await nextTurn()
    leaving.abort(new Error('gone'))
    await left
    assert.equal(runs.signals[0]?.aborted, false)
    await runs.end(1)
    assert.equal(await stays, 1)
  })

  it('is aborted when all have left', async () => {
    const runs = new Runs()
    const leaving = new AbortController()
    const left = [1, 2].map(() => assert.rejects(runs.work.ask(leaving.signal), /gone/))
    await nextTurn()
    leaving.abort(new Error('gone'))
    await Promise.all(left)
    assert.equal(runs.signals[0]?.aborted, true)
  })

  it('never begins when all have left before its turn', async () => {
    const runs = new Runs()
    const first = runs.work.ask()
    await nextTurn()
    const leaving = new AbortController()
    const left = assert.rejects(runs.work.ask(leaving.signal), /gone/)
    leaving.abort(new Error('gone'))
    await left
    await runs.end(1)
    assert.equal(await first, 1)
    assert.equal(runs.count, 1)
    assert.ok(runs.work.isIdle)
  })

  it('runs for who asks after the next run was abandoned', async () => {
    const runs = new Runs()
    const first = runs.work.ask()
    await nextTurn()
    const leaving = new AbortController()
    const left = assert.rejects(runs.work.ask(leaving.signal), /gone/)
    leaving.abort(new Error('gone'))
    await left
    const late = runs.work.ask()
    await runs.end(1)
    assert.equal(await first, 1)
    await runs.end(2)
    assert.equal(await late, 2)
    assert.ok(runs.work.isIdle)
  })

  it('runs for who asks in the turn in which the first run was abandoned', async () => {
    const runs = new Runs()
    const leaving = new AbortController()
    const left = assert.rejects(runs.work.ask(leaving.signal), /gone/)
    leaving.abort(new Error('gone'))
    const stays = runs.work.ask()
    await left
    await nextTurn()
    await runs.end(runs.count)
    assert.equal(await stays, 1)
    assert.ok(runs.work.isIdle)
  })

  it('does not run for a signal that was aborted before', async () => {
    const runs = new Runs()
    await assert.rejects(runs.work.ask(AbortSignal.abort(new Error('gone'))), /gone/)
    await nextTurn()
    assert.equal(runs.count, 0)
    assert.ok(runs.work.isIdle)
  })

  it('answers nobody with a run that began before the question, whatever the order', async () => {
    const step = fc.constantFrom('ask' as const, 'leave' as const, 'end' as const, 'turn' as const)
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const runs = new Runs()
        const askers: AbortController[] = []
        const answers: Promise<void>[] = []
        let ended = 0
        const endOne = async () => {
          await nextTurn()
          if (ended < runs.count) await runs.end(++ended)
        }
        for (const what of steps) {
          if (what === 'ask') {
            const asker = new AbortController()
            askers.push(asker)
            const begunBefore = runs.count
            const answer = runs.work.ask(asker.signal).then(
              (number) => assert.ok(number > begunBefore, `run ${number} of ${begunBefore}`),
              (error) => assert.ok(asker.signal.aborted, String(error))
            )
            answers.push(answer)
          } else if (what === 'leave') askers.shift()?.abort()
          else if (what === 'end') await endOne()
          else await nextTurn()
          assert.ok(runs.count - ended <= 1, 'two runs at once')
        }
        for (let n = 0; n < 3; n++) await endOne()
        await Promise.all(answers)
        assert.ok(runs.work.isIdle)
      }),
      { numRuns: 200 }
    )
  })
})

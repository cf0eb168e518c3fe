import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { abortReason, isChange, refusalOf } from '#src/delivery/failure.ts'
import { SendError } from '#src/delivery/sink.ts'
import { createCounters } from '#src/storage/counters.ts'
import { StorageError, type StorageErrorCode } from '#src/storage/errors.ts'

// a record, so that a new code does not compile without a row
const outcomes: Record<
  StorageErrorCode,
  {
    readonly status: number
    readonly retryAfter: number | undefined
    readonly level: string | undefined
    readonly reason: string
    readonly isChange: boolean
  }
> = {
  NOT_FOUND: row(404, undefined, 'debug', 'read_failed', false),
  OVERLOADED: row(503, 1, undefined, 'read_failed', false),
  EXHAUSTED: row(503, 1, 'error', 'read_failed', false),
  CHANGED: row(503, 1, 'warn', 'changed', true),
  SHORT_READ: row(503, 1, 'warn', 'truncated', true),
  READ_FAILED: row(500, undefined, 'error', 'read_failed', false)
}

describe('what becomes of an error', () => {
  for (const [code, expected] of Object.entries(outcomes) as [
    StorageErrorCode,
    (typeof outcomes)[StorageErrorCode]
  ][]) {
    it(`${code}: ${expected.status} before the first byte, ${expected.reason} after it`, () => {
      const error = new StorageError(code, 'secret/path', { reason: 'EIO' })
      const { status, retryAfter, log, message } = refusalOf(error)
      assert.equal(status, expected.status)
      assert.equal(retryAfter, expected.retryAfter)
      assert.equal(log?.level, expected.level)
      assert.ok(!message.includes('secret') && !message.includes('EIO'), 'in our words')
      assert.equal(abortReason(error), expected.reason)
      assert.equal(isChange(error), expected.isChange)
    })
  }

  for (const reason of ['client_gone', 'truncated'] as const) {
    it(`of sending, ${reason}: the same reason`, () => {
      const error = new SendError(reason)
      assert.equal(abortReason(error), reason)
      assert.equal(isChange(error), false)
    })
  }

  it('of any other kind: other', () => {
    for (const error of [new Error('a defect'), new RangeError(), 'text', undefined]) {
      assert.equal(abortReason(error), 'other')
      assert.equal(isChange(error), false)
    }
  })

  it('has a counter that begins at 0 for every reason that is to be expected', () => {
    const { bodyFailures } = createCounters()
    const reasons = Object.values(outcomes).map(({ reason }) => reason)
    for (const reason of [...reasons, 'client_gone']) assert.equal(bodyFailures.get(reason), 0)
  })
})

function row(
  status: number,
  retryAfter: number | undefined,
  level: string | undefined,
  reason: string,
  isChange: boolean
) {
  return { status, retryAfter, level, reason, isChange }
}

import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { RecentlyCold } from '#src/storage/recently-cold.ts'

const MiB = 2 ** 20

describe('what was cold', () => {
  it('stays, unless its part was cold twice more than it was found in memory since', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), fc.boolean()), { maxLength: 60 }), (asks) => {
        const cold = new RecentlyCold(3.5 * MiB)
        const colds = [0, 0, 0, 0]
        for (const [part, isResident] of asks) {
          const at = part * MiB + 5
          const before = colds[part] as number
          if (isResident) assert.equal(cold.isStaying(at), before < 2)
          else cold.mark(at)
          colds[part] = Math.min(3, Math.max(0, before + (isResident ? -1 : 1)))
        }
      })
    )
  })
})

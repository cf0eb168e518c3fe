import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { pageBytes } from '#src/storage/native/page-size.ts'
import { threadFaults } from '#src/storage/native/rusage.ts'
import { patternBytes } from '../../support/serve.ts'
import { mapped, patternFile } from './native-files.ts'

describe('page faults of this thread', () => {
  it('are counted when pages are touched for the first time', (t) => {
    const { fd } = patternFile(t, pageBytes)
    // one page each, because one fault may bring in all neighbours that are in memory
    const mappings = Array.from({ length: 50 }, () => mapped(t, fd, pageBytes))
    const before = threadFaults()
    for (const mapping of mappings) assert.equal(mapping.bytes[0], patternBytes(0, 1)[0])
    const after = threadFaults()
    const faults = after.minor - before.minor + (after.major - before.major)
    assert.ok(faults >= mappings.length, `${faults} faults`)
  })
})

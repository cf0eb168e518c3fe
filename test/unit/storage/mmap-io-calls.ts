/**
 * Notes what reaches mmap-io. To be loaded before mapping.ts, because the addon's own exports cannot be
 * redefined: the module as a whole is replaced by one that inherits from it.
 */
import type { default as MmapIo } from 'mmap-io'

/** ends of the extents that were mapped, in bytes from the beginning of the file; newest last */
export const mappedEnds: number[] = []

const real = require('mmap-io') as typeof MmapIo
const map: typeof real.map = (length, protection, flags, fd, offset = 0) => {
  mappedEnds.push(offset + length)
  return real.map(length, protection, flags, fd, offset)
}
const loaded = require.cache[require.resolve('mmap-io')]
if (loaded === undefined) throw new Error('mmap-io is not where it was loaded from')
loaded.exports = Object.create(real, { map: { value: map } })

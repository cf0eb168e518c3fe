/** Run by regions.test.ts: limits its own address space, so that mmap(2) really says ENOMEM. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { join } from 'node:path'
import { createCounters } from '#src/storage/counters.ts'
import { FileRegions, RegionTable } from '#src/storage/regions.ts'
import { memory } from '../../support/kernel-view.ts'

const regionBytes = 2 ** 30
const path = join(process.argv[2] as string, 'sparse')
fs.writeFileSync(path, '')
fs.truncateSync(path, 4 * regionBytes)
const owner = new FileRegions(fs.openSync(path, 'r'), 4 * regionBytes)
const counters = createCounters()
const table = new RegionTable({ regionBytes, maxMappedBytes: 100 * regionBytes }, counters)

table.at(owner, 0)
limitAddressSpace(`${memory('VmSize') + regionBytes / 2}`)
const whileFull = table.at(owner, regionBytes)
limitAddressSpace('unlimited')
const afterwards = table.at(owner, regionBytes)

console.log(
  JSON.stringify({
    whileFull: `${whileFull}`,
    reasons: Object.fromEntries(counters.mappingFailures),
    evictions: counters.regionEvictions,
    unmappable: `${owner.unmappable}`,
    afterwards: afterwards === undefined ? 'undefined' : 'mapped'
  })
)

function limitAddressSpace(soft: string): void {
  execFileSync('prlimit', [`--as=${soft}:unlimited`, '--pid', `${process.pid}`])
}

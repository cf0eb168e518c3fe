import fs from 'node:fs'
import { byteSourceContract } from './byte-source-contract.ts'

byteSourceContract({ name: 'mmap, guarded', options: {}, source: 'mapped' })
byteSourceContract({ name: 'mmap, unguarded', options: { isGuarded: false }, source: 'mapped' })
byteSourceContract({ name: 'read', options: { mode: 'read' }, source: 'read' })
byteSourceContract({
  name: 'mmap, of a file whose residency cannot be trusted',
  options: {},
  source: 'read',
  prepare: (file) => Object.defineProperty(file, 'isTrusted', { value: false })
})
byteSourceContract({
  name: 'mmap, without room for any region',
  options: { maxMappedBytes: 0 },
  source: 'read'
})

// a tmpfs has no cached reads
const memoryFolder = '/dev/shm'
if (fs.existsSync(memoryFolder) && fs.statfsSync(memoryFolder).type === 0x01021994) {
  byteSourceContract({
    name: 'mmap, where cached reads do not exist either',
    options: {},
    source: 'read',
    parent: memoryFolder,
    prepare: (file) => Object.defineProperty(file, 'isTrusted', { value: false })
  })
}

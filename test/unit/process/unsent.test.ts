import assert from 'node:assert/strict'
import { it } from 'node:test'
import { unsentBytes } from '#src/process/unsent.ts'

// recorded from /proc/net/tcp: a listener, a client of another port, a connection that no process holds any more
const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0 100 0 0 10 0
   1: 0100007F:C350 0100007F:1F90 01 00000010:00000000 00:00000000 00000000     0        0 200 1 0 20 4 30 10 -1
   2: 0100007F:1F90 0100007F:C350 04 0027A1C0:00000000 01:00000014 00000000     0        0 0 3 0 20 4 30 10 -1
`

it('counts what is queued on one port, orphaned connections included', () => {
  assert.equal(unsentBytes(table, 8080), 0x27a1c0)
  assert.equal(unsentBytes(table, 50000), 0x10)
  assert.equal(unsentBytes(table, 80), 0)
  assert.equal(unsentBytes('', 8080), 0)
})

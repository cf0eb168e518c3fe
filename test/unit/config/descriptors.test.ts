import assert from 'node:assert/strict'
import { it } from 'node:test'
import {
  affordableConnections,
  affordableFiles,
  firstReservedDescriptor
} from '#src/config/descriptors.ts'

it('connections, those that are refused in words, and kept files fit into the descriptors', () => {
  for (const soft of [128, 256, 1024, 4096, 20_000]) {
    const connections = affordableConnections(limits(soft))
    assert.ok(Math.ceil(connections * 1.5) + affordableFiles(limits(soft)) + 47 <= soft, `${soft}`)
  }
})

it('a few of each are affordable anywhere, and without a limit 10,000 connections', () => {
  assert.equal(affordableConnections(limits(32)), 8)
  assert.equal(affordableFiles(limits(32)), 8)
  for (const text of [limits('unlimited'), '']) {
    assert.equal(affordableConnections(text), 10_000)
    assert.equal(affordableFiles(text), Number.POSITIVE_INFINITY)
  }
})

it('the last descriptors are not for connections', () => {
  assert.ok(firstReservedDescriptor > 64)
})

function limits(soft: number | string): string {
  return `Max processes             1000                 1000                 processes
Max open files            ${soft}                 524288               files
`
}

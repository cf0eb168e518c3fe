import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { clientAddress } from '#src/plugins/client-address.ts'

describe('the address of a client', () => {
  const trusting = clientAddress(['10.0.0.0/8', '192.0.2.7', 'fd00::/8'])

  it('is that of its socket while no proxy is trusted', () => {
    const address = clientAddress([])
    assert.equal(address('203.0.113.1', '1.1.1.1'), '203.0.113.1')
    assert.equal(address('::ffff:203.0.113.1', undefined), '203.0.113.1')
    assert.equal(address('::1', undefined), '::1')
    assert.equal(address(undefined, '1.1.1.1'), undefined)
  })

  it('is the last in X-Forwarded-For that no trusted proxy has', () => {
    assert.equal(trusting('10.1.1.1', '203.0.113.9'), '203.0.113.9')
    assert.equal(trusting('::ffff:10.1.1.1', '203.0.113.9'), '203.0.113.9')
    assert.equal(trusting('10.1.1.1', '203.0.113.9, 192.0.2.7,10.2.2.2'), '203.0.113.9')
    assert.equal(trusting('fd00::1', '2001:db8::5'), '2001:db8::5')
    assert.equal(trusting('10.1.1.1', undefined), '10.1.1.1')
    assert.equal(trusting('10.1.1.1', ''), '10.1.1.1')
  })

  it('is nothing that a client has made up', () => {
    // a client writes the field before the proxy appends to it
    assert.equal(trusting('10.1.1.1', '127.0.0.1, 203.0.113.9'), '203.0.113.9')
    assert.equal(trusting('10.1.1.1', '10.9.9.9, 203.0.113.9'), '203.0.113.9')
    // one that does not come by way of the proxy
    assert.equal(trusting('203.0.113.1', '127.0.0.1'), '203.0.113.1')
    assert.equal(trusting('11.0.0.1', '10.0.0.1'), '11.0.0.1')
    // no addresses
    for (const text of ['unknown', '_hidden', '1.2.3', '1.2.3.4:80', 'a\nb', '"', '::1%lo\u2028']) {
      assert.equal(trusting('10.1.1.1', text), '10.1.1.1', text)
    }
  })

  it('is an address, whatever the field says', () => {
    const part = fc.oneof(fc.ipV4(), fc.ipV6(), fc.string(), fc.constant('10.1.1.1'))
    fc.assert(
      fc.property(fc.array(part), (parts) => {
        const address = trusting('10.1.1.1', parts.join(', '))
        assert.match(address ?? '', /^[0-9a-fA-F.:]+$/)
      })
    )
  })
})

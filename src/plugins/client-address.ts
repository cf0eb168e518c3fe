/** Which address a request comes from, where proxies stand between the client and this service. */
import { isIP } from 'node:net'
import proxyAddr from '@fastify/proxy-addr'

/** @param forwardedFor the X-Forwarded-For fields, joined by commas */
export type ClientAddress = (
  socketAddress: string | undefined,
  forwardedFor: string | undefined
) => string | undefined

/**
 * @param trusted addresses and CIDRs of proxies, whose word counts
 * @returns the last address in X-Forwarded-For that no trusted proxy has; the socket's own where the field is missing,
 *   comes from somebody else, or names no address
 */
export function clientAddress(trusted: readonly string[]): ClientAddress {
  if (trusted.length === 0) return plainAddress
  const isTrusted = proxyAddr.compile([...trusted])
  return (socketAddress, forwardedFor) => {
    const own = plainAddress(socketAddress)
    if (forwardedFor === undefined || own === undefined || !isTrusted(own, 0)) return own
    const request = { headers: { 'x-forwarded-for': forwardedFor }, socket: { remoteAddress: own } }
    // of a request it looks at no more than these two
    const claimed = proxyAddr(request as never, isTrusted)
    // a zone can be any text
    return isIP(claimed) === 0 || claimed.includes('%') ? own : plainAddress(claimed)
  }
}

/** Of an IPv4 client on a socket of both families: its IPv4 address. */
function plainAddress(address: string | undefined): string | undefined {
  return address?.startsWith('::ffff:') === true && address.includes('.')
    ? address.slice('::ffff:'.length)
    : address
}

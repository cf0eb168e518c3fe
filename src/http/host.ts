/** The Host field: by which name or address a client means this server. */

// reg-name of RFC 3986 §3.2.2, which may be empty; or what is in the brackets of an IP-literal; then a port
const grammar = /^(?:\[([^\]]*)\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::(\d*))?$/
const isFutureAddress = /^v[0-9a-f]+\.[\w\-.~!$&'()*+,;=:]+$/i

/**
 * Whether a text is `uri-host [ ":" port ]`. A zone is no part of an IPv6 address here, and a port is one that TCP has.
 * @see RFC 9110 §7.2
 */
export function isHost(text: string): boolean {
  const match = grammar.exec(text)
  if (match === null) return false
  const [, literal, port = ''] = match
  if (Number(port) > 65_535) return false
  if (literal === undefined) return true
  return isIPv6(literal) || isFutureAddress.test(literal)
}

function isIPv6(literal: string): boolean {
  return /^[0-9A-Fa-f:.]+$/.test(literal) && URL.canParse(`http://[${literal}]/`)
}

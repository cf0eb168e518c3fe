/** Why the service cannot start, in a line for the user. */
import { systemCode } from '../storage/errors.ts'

/** The message is that line; the exit status is 1. */
export class CannotServe extends Error {}

/** @param error of the system, or of the look-up of the host's name */
export function cannotListen(error: unknown, host: string, port: number): CannotServe {
  const why: Record<string, string> = {
    EADDRINUSE: 'the port is taken',
    EACCES: 'this user may not use the port',
    EADDRNOTAVAIL: 'this machine has no such address',
    ENOTFOUND: 'the host name is unknown'
  }
  const code = systemCode(error) ?? 'unknown error'
  return new CannotServe(`cannot listen on ${host}:${port}: ${why[code] ?? code}`)
}

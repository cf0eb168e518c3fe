/** What the calling thread has used. */
import { libc } from './libc.ts'

// <sys/resource.h>
const RUSAGE_THREAD = 1

const rusage = Buffer.alloc(144)

/**
 * Page faults of the calling thread alone since it began: in Node, of the event loop.
 * @see getrusage(2), RUSAGE_THREAD (Linux 2.6.26); with these arguments it cannot fail
 */
export function threadFaults(): { minor: number; major: number } {
  libc.getrusage(RUSAGE_THREAD, rusage)
  return { minor: Number(rusage.readBigInt64LE(64)), major: Number(rusage.readBigInt64LE(72)) }
}

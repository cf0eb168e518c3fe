/**
 * The request field by which the live page's own requests ask for Server-Timing. Its value is a secret that was told to
 * the processes a moment before, so that no client can ask for it.
 */
export const traceField = 'x-mmap-range-server-try'

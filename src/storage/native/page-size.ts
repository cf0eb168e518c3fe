import { libc } from './libc.ts'

/** Bytes of a page of memory. @see getpagesize(3) */
export const pageBytes: number = libc.getpagesize()

/** What an app says to the plugin. These types are a part of the package; they import nothing of the service. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { MetricsRegistry } from '../metrics/shared-registry.ts'

/** Bytes, or a text with its unit such as `64MiB`. */
export type Size = number | string

/** A file that is about to be sent. */
export interface FileInfo {
  /** relative to the root, such as `maps/world.pmtiles` */
  readonly path: string
  /** bytes */
  readonly size: number
  readonly modifiedAt: Date
}

/** Options that the command has as well mean the same, and have the same defaults. */
export interface MmapRangesOptions {
  /** the folder that is served */
  readonly root: string | URL
  /** URL path under which it is served, with a slash at both ends (default: `/files/`) */
  readonly prefix?: string
  /** `mmap`: from mapped regions, guarded; `read`: fs.read into buffers (default: `mmap`) */
  readonly mode?: 'mmap' | 'read'
  /** off: send mapped windows without asking whether they are in memory; for experiments (default: on) */
  readonly guard?: 'on' | 'off' | boolean
  /** most bytes handed to the socket between two looks at the file (default: 1MiB) */
  readonly windowBytes?: Size
  /** size of one mapped region of a file; a multiple of the page size (default: 256MiB) */
  readonly regionBytes?: Size
  /** address space for all regions; the least recently used go first (default: 64GiB) */
  readonly maxMappedBytes?: Size
  /** open files that are kept (default: 1000) */
  readonly maxOpenFiles?: number
  /** bytes of copied windows in use at once; beyond it reads wait (default: 32MiB) */
  readonly maxBufferedBytes?: Size
  /** requests that may wait for a slow disk; others are answered with 503 (default: 1000) */
  readonly maxWaitingReads?: number
  /** how long a file's size and mtime are trusted, in milliseconds or as a text such as `2s` (default: 0) */
  readonly revalidateMs?: number | string
  /** most ranges in one request; with more, the Range field is ignored (default: 64) */
  readonly maxRanges?: number
  /** `within`: followed while the target stays below the root (default: `within`) */
  readonly symlinks?: 'deny' | 'within'
  /** `deny`: names that begin with a dot are not found (default: `deny`) */
  readonly dotfiles?: 'deny' | 'allow'
  /** Cache-Control, unless a hook or `setHeaders` sets another (default: `public, max-age=0, must-revalidate`) */
  readonly cacheControl?: string
  /** on: a folder answers with its listing; auto: on for the sample folder of the package (default: `auto`) */
  readonly index?: 'auto' | 'on' | 'off' | boolean
  /** whether answers say in Server-Timing where their bytes came from and what they cost (default: off) */
  readonly serverTiming?: 'on' | 'off' | boolean
  /** Sets header fields of an answer with a file, before the app's onSend hooks. */
  readonly setHeaders?: (reply: FastifyReply, file: FileInfo) => void
  /**
   * false: not found. `path` is decoded and relative to the root. With `index` also asked about folders and about each
   * entry of a listing: the path of a folder ends in a slash, that of the root is empty.
   */
  readonly allowedPath?: (path: string, request: FastifyRequest) => boolean
  /** a Registry of prom-client to register metrics in */
  readonly metrics?: MetricsRegistry
}

export interface SendRangeOptions {
  /** absolute path of a folder in the place of the plugin's root */
  readonly root?: string
}

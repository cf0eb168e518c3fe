/**
 * Opening files on the event loop, without a wait: those whose names and metadata the kernel has in memory. What it
 * does not open is not refused: it is opened on the thread pool, where everything is looked at (`openFile`).
 */
import { readlinkSync } from 'node:fs'
import { constants } from 'node:os'
import { isKnownLocal } from './file-system.ts'
import { closeNow, findCached, findCachedBelow, findCachedRoot, openFound } from './native/open.ts'
import { describeFound } from './native/stat.ts'
import {
  type OpenFile,
  type OpeningOptions,
  openedFile,
  placeBelow,
  whyRefused
} from './open-file.ts'

const { EAGAIN, ELOOP, ENOENT, ENOSYS, EPERM, EINVAL } = constants.errno

export class CachedOpener {
  readonly #options: OpeningOptions
  /** no symbolic link leads to the root, as far as is known */
  #isRootPlain = true
  /** the kernel is older than Linux 5.12, or a seccomp filter hides the call */
  #isRefused = false
  #wasCold = false

  constructor(options: OpeningOptions) {
    this.#options = options
  }

  /** Whether the last path could not be opened because a name of it was not in memory. */
  get wasCold(): boolean {
    return this.#wasCold
  }

  /**
   * @param path relative, decoded, without `.` and `..`
   * @returns undefined when it cannot be opened in this way, for whatever reason
   */
  open(path: string): OpenFile | undefined {
    // A name that only contains two dots takes the other way too. Without a step upwards and without a link, what is
    // found by an absolute path lies below the root.
    this.#wasCold = false
    if (this.#isRefused || path.includes('..')) return undefined
    const found = this.#find(path)
    if (found < 0) {
      this.#wasCold = found === -EAGAIN
      this.#isRefused = found === -ENOSYS || found === -EPERM || found === -EINVAL
      return undefined
    }
    try {
      return this.#openFound(found, path)
    } finally {
      // it names a place and opens nothing: closing it never waits
      closeNow(found)
    }
  }

  /** Whether the kernel knows, without looking at the disk, that there is nothing of this name. */
  knowsMissing(path: string): boolean {
    if (this.#isRefused || path.includes('..')) return false
    const found = this.#find(path)
    if (found >= 0) closeNow(found)
    return found === -ENOENT
  }

  /** @returns a descriptor that names the file (O_PATH), or a negated errno */
  #find(path: string): number {
    const { root } = this.#options
    if (this.#isRootPlain) {
      const found = findCached(`${root}/${path}`)
      if (found !== -ELOOP) return found
    }
    // The root may be a link that is pointed elsewhere when a new release is published: found anew each time.
    const rootFd = findCachedRoot(root)
    if (rootFd < 0) return rootFd
    try {
      const found = findCachedBelow(rootFd, path, false)
      if (found >= 0) this.#isRootPlain = false
      return found === -ELOOP ? this.#findByLinks(rootFd, path) : found
    } finally {
      closeNow(rootFd)
    }
  }

  #findByLinks(rootFd: number, path: string): number {
    const { symlinks, dotfiles } = this.#options
    if (symlinks === 'deny') return -ELOOP
    const found = findCachedBelow(rootFd, path, true)
    if (found < 0 || dotfiles === 'allow') return found
    // the kernel's own names for the two descriptors, which are in memory
    const place = placeBelow(nameOf(rootFd), nameOf(found))
    if (whyRefused(place, path, this.#options) === undefined) return found
    closeNow(found)
    return -ELOOP
  }

  #openFound(found: number, path: string): OpenFile | undefined {
    const facts = describeFound(found)
    // to open a file of FUSE or of a server waits for it
    if (facts === undefined || isKnownLocal(facts.mount) !== true) return undefined
    const fd = openFound(found)
    if (fd < 0) return undefined
    const { key, uid } = facts
    return openedFile({ fd, path, key, uid, isLocal: true }, this.#options)
  }
}

function nameOf(fd: number): string {
  return readlinkSync(`/proc/self/fd/${fd}`)
}

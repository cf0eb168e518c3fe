// Where mmap-io is installed: beside this package, or in its own node_modules.
import { createRequire } from 'node:module'
import { dirname } from 'node:path'

/** @returns its folder; undefined where it is not installed */
export function addonFolder() {
  try {
    return dirname(createRequire(import.meta.url).resolve('mmap-io/package.json'))
  } catch {
    return undefined
  }
}

/** Where this package is installed, and which version of it. */
import { readFileSync } from 'node:fs'
import path from 'node:path'

/** the folder of package.json: this file is dist/config/package.js in it */
export const packageFolder = path.join(__dirname, '..', '..')

/** The files that come with the package, for a first try. */
export const sampleFolder = path.join(packageFolder, 'sample')

export function packageVersion(): string {
  const manifest = readFileSync(path.join(packageFolder, 'package.json'), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version // npm refuses a manifest without one
}

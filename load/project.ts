/** Where the project is, and what its two package.json files say. */
import fs from 'node:fs'
import path from 'node:path'

/** This file is dist/load/project.js in it. */
export const projectFolder = path.join(__dirname, '..', '..')

/** Of the service, and so of what is measured. */
export function projectVersion(): string {
  return manifest('package.json').version as string // the service's has one
}

/** @returns the version of a package that the harness asks for, as load/package.json writes it */
export function requiredVersion(name: string): string | undefined {
  return manifest('load/package.json').dependencies?.[name]
}

interface Manifest {
  readonly version?: string
  readonly dependencies?: Readonly<Record<string, string>>
}

function manifest(file: string): Manifest {
  return JSON.parse(fs.readFileSync(path.join(projectFolder, file), 'utf8'))
}

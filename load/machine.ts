/** Where it was measured, without which figures mean nothing. */
import { execFileSync } from 'node:child_process'
import os from 'node:os'
import { projectFolder, projectVersion } from './project.ts'

export type Machine = ReturnType<typeof machine>

/** @param folder whose file system is told */
export function machine(folder: string) {
  return {
    date: new Date().toISOString(),
    kernel: `${os.type()} ${os.release()}`,
    architecture: os.arch(),
    cpu: os.cpus()[0]?.model ?? 'unknown',
    cpus: os.cpus().length,
    memoryBytes: os.totalmem(),
    fileSystem: fileSystemOf(folder),
    node: process.version,
    version: projectVersion(),
    commit: commit()
  }
}

function commit(): string | undefined {
  return firstLine('git', ['-C', projectFolder, 'describe', '--always', '--dirty'])
}

function fileSystemOf(folder: string): string | undefined {
  return firstLine('stat', ['-f', '-c', '%T', folder])
}

function firstLine(program: string, args: string[]): string | undefined {
  try {
    const output = execFileSync(program, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    return output.toString().split('\n')[0]
  } catch {
    return undefined
  }
}

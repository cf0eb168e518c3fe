/** Where it was measured, without which figures mean nothing. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
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
    readAheadKiB: readAheadOf(folder),
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

/** How far the kernel reads around a page fault, or ahead of a read. @see sysfs-class-bdi, read_ahead_kb */
function readAheadOf(folder: string): number | undefined {
  const device = firstLine('stat', ['-c', '%Hd:%Ld', folder])
  try {
    return Number(fs.readFileSync(`/sys/class/bdi/${device}/read_ahead_kb`, 'latin1'))
  } catch {
    return undefined
  }
}

function firstLine(program: string, args: string[]): string | undefined {
  try {
    const output = execFileSync(program, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    return output.toString().split('\n')[0]
  } catch {
    return undefined
  }
}

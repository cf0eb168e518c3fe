/** Runs programs under the filter of system calls of the systemd unit, without systemd; see seccomp-run.c. */
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import { constants } from 'node:os'
import path from 'node:path'
import { projectFolder } from './project.ts'
import { type Lifetime, tempFolder } from './serve.ts'

export interface UnitFilter {
  /** what a call that is not allowed fails with, as in `ENOSYS`; undefined: it kills the process */
  readonly errorName: string | undefined
  /** allowed system calls, by name */
  readonly calls: ReadonlySet<string>
}

/** Why it cannot be had here; undefined: it can. */
export function whyNoFilter(): string | undefined {
  if (process.arch !== 'x64' && process.arch !== 'arm64')
    return 'the filter knows x64 and arm64 only'
  return spawnSync('cc', ['--version']).status === 0 ? undefined : 'there is no C compiler'
}

/** What the unit that is delivered says. @throws when it names a group that systemd-calls.txt does not have */
export function filterOfUnit(): UnitFilter {
  const unit = path.join(projectFolder, 'deploy', 'systemd', 'mmap-range-server.service')
  const settings = fs.readFileSync(unit, 'utf8').split('\n')
  const valuesOf = (name: string) =>
    settings.flatMap((line) => (line.startsWith(`${name}=`) ? line.slice(name.length + 1) : []))
  const groups = readGroups()
  const calls = new Set<string>()
  // lines in their order; a list that begins with ~ takes away (systemd.exec(5), SystemCallFilter=)
  for (const value of valuesOf('SystemCallFilter')) {
    const isTakenAway = value.startsWith('~')
    for (const name of value.replace('~', '').split(' ')) {
      const members = name.startsWith('@') ? groups.get(name) : [name]
      if (members === undefined) throw new Error(`systemd-calls.txt has no group ${name}`)
      for (const call of members) isTakenAway ? calls.delete(call) : calls.add(call)
    }
  }
  return { errorName: valuesOf('SystemCallErrorNumber').at(-1), calls }
}

/** @returns words to put before a command; valid until the test ends, for every user */
export function underFilter(t: Lifetime, { errorName, calls }: UnitFilter): string[] {
  const folder = tempFolder(t)
  fs.chmodSync(folder, 0o755)
  const [allowed, program] = [path.join(folder, 'allowed.inc'), path.join(folder, 'seccomp-run')]
  const lines = [...calls].map((call) => `#ifdef __NR_${call}\nCALL(__NR_${call})\n#endif\n`)
  fs.writeFileSync(allowed, lines.join(''))
  const code = path.join(projectFolder, 'test', 'support', 'seccomp-run.c')
  execFileSync('cc', ['-O1', `-DALLOWED="${allowed}"`, '-o', program, code])
  if (errorName === undefined) return [program, 'kill']
  const number = (constants.errno as Record<string, number>)[errorName]
  if (number === undefined) throw new Error(`${errorName} is no error's name`)
  return [program, `${number}`]
}

/** Members of each group in systemd-calls.txt. */
function readGroups(): Map<string, string[]> {
  const text = fs.readFileSync(path.join(projectFolder, 'test/support/systemd-calls.txt'), 'utf8')
  const parts = text.replace(/^#.*$/gm, '').split(/^(?=@)/m)
  return new Map(
    parts.map((part) => {
      const [group = '', ...calls] = part.trim().split(/\s+/)
      return [group, calls]
    })
  )
}

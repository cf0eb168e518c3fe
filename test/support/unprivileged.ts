/** A user who owns nothing and may do nothing special, for tests of what such a user sees. */
import { spawnSync } from 'node:child_process'
import type { TestContext } from 'node:test'
import { mainFile } from './serve.ts'

export const nobody = { uid: 65_534, gid: 65_534 }

/** @returns undefined, and the test is skipped, where no process can run as another user */
export function unprivileged(t: TestContext): typeof nobody | undefined {
  if (process.getuid?.() !== 0) {
    t.skip('only root can run a process as another user')
    return undefined
  }
  const read = `require('node:fs').readFileSync(${JSON.stringify(mainFile)})`
  if (spawnSync(process.execPath, ['-e', read], { ...nobody, cwd: '/' }).status !== 0) {
    t.skip('other users cannot read this folder or run this Node')
    return undefined
  }
  return nobody
}

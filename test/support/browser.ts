/** A real browser for tests of the live page, where this machine has one. */
import { spawnSync } from 'node:child_process'
import { type Browser, chromium, type Page } from 'playwright-core'

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']

/** Its path; undefined where there is none. CHROMIUM names another. */
export const chromiumPath: string | undefined =
  process.env.CHROMIUM ??
  names
    .map((name) => spawnSync('which', [name], { encoding: 'utf8' }).stdout?.trim())
    .find((path) => path !== undefined && path !== '')

/** Why a test that needs a browser is skipped; false: it is not. */
export const withoutBrowser: string | false =
  chromiumPath === undefined ? 'there is no chromium on this machine' : false

export function launch(): Promise<Browser> {
  if (chromiumPath === undefined) throw new Error('there is no chromium')
  return chromium.launch({
    executablePath: chromiumPath,
    // a container and root have no namespaces of their own for its sandbox
    args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage']
  })
}

/** What went wrong in a page, and where else it has asked for something. */
export interface Watched {
  readonly problems: string[]
  readonly elsewhere: string[]
}

export function watch(page: Page, origin: string): Watched {
  const watched: Watched = { problems: [], elsewhere: [] }
  page.on('pageerror', (error) => watched.problems.push(error.message))
  page.on('console', (message) => {
    if (message.type() === 'error') watched.problems.push(message.text())
  })
  page.on('request', (request) => {
    const url = request.url()
    if (!url.startsWith(origin) && !url.startsWith('data:')) watched.elsewhere.push(url)
  })
  return watched
}

/** The live page: one document with all that it needs. It holds no data, so that it may ask for the token. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import { packageFolder } from '../config/package.ts'

const file = path.join(packageFolder, 'dist', 'page.html')

interface Page {
  readonly html: Buffer
  readonly zipped: Buffer
  readonly policy: string
}

export function registerPage(app: FastifyInstance): void {
  let page: Promise<Page> | undefined
  app.get('/', { config: { cors: false, asksForToken: true } }, async (request, reply) => {
    page ??= load()
    const { html, zipped, policy } = await page
    reply.headers({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': policy,
      'referrer-policy': 'no-referrer',
      vary: 'accept-encoding'
    })
    const takesGzip = /(^|[\s,])gzip(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(
      request.headers['accept-encoding'] ?? ''
    )
    if (!takesGzip) return reply.send(html)
    return reply.header('content-encoding', 'gzip').send(zipped)
  })
}

async function load(): Promise<Page> {
  const html = await readFile(file)
  const text = html.toString()
  return { html, zipped: await promisify(gzip)(html, { level: 9 }), policy: policyOf(text) }
}

/**
 * Nothing may be loaded, from nowhere; the page's own script and style run because their hashes are named.
 * @see https://www.w3.org/TR/CSP3/
 */
function policyOf(html: string): string {
  const hash = (element: string) => {
    const text = new RegExp(`<${element}>([^]*?)</${element}>`).exec(html)?.[1] ?? ''
    return `'sha256-${createHash('sha256').update(text).digest('base64')}'`
  }
  return [
    "default-src 'none'",
    `script-src ${hash('script')}`,
    `style-src ${hash('style')}`,
    "connect-src 'self'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'"
  ].join('; ')
}

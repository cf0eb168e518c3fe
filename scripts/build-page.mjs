// Makes the live page, dist/page.html, of page/: one document with its style and its script in it.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const projectDir = fileURLToPath(new URL('..', import.meta.url))
const pageDir = join(projectDir, 'page')

const { outputFiles } = await build({
  entryPoints: { script: join(pageDir, 'main.ts'), style: join(pageDir, 'style.css') },
  bundle: true,
  write: false,
  outdir: 'page',
  minify: true,
  format: 'iife',
  target: ['es2022', 'chrome111', 'firefox113', 'safari16.4'],
  legalComments: 'none',
  logLevel: 'warning'
})
const textOf = (name) => outputFiles.find(({ path }) => path.endsWith(name)).text.trim()
const script = textOf('script.js')
const style = textOf('style.css')
if (/<\/script|<!--/i.test(script) || /<\/style/i.test(style)) {
  throw new Error('the script or the style would end its own element')
}
const html = readFileSync(join(pageDir, 'index.html'), 'utf8')
  // functions, because in a text `$&` would mean what was found
  .replace('/* style */', () => style)
  .replace('/* script */', () => script)
mkdirSync(join(projectDir, 'dist'), { recursive: true })
writeFileSync(join(projectDir, 'dist', 'page.html'), html)

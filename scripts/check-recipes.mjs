// Runs the recipes of docs/recipes.md against the sample files, each where its program is installed, and the pages of
// examples/ in headless Chromium, where that is. Needs `npm run build`. Exits 1 when one fails.
//   node scripts/check-recipes.mjs          all of them; the pages' packages are installed in a temporary folder
//   node scripts/check-recipes.mjs --no-pages
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Browser } from './browser.mjs'

const projectFolder = dirname(dirname(fileURLToPath(import.meta.url)))
const folder = mkdtempSync(join(tmpdir(), 'recipes-'))
const root = join(folder, 'root')
const servers = []
const limitMs = 60_000
const pageLimitMs = 20_000
// of Debian, where the packages python3-xarray, python3-zarr, python3-fsspec and python3-aiohttp are for this one
const python = '/usr/bin/python3'

// what a recipe must have done: left in its folder, or printed
const checks = {
  curl: ({ isSame }) => isSame('island.tif'),
  aria2c: ({ isSame }) => isSame('island.tif'),
  gdalinfo: ({ run, output }) => {
    const size = run('gdalinfo', 'part.tif').includes('Size is 64, 64')
    return size && output.includes('COMPRESSION')
  },
  samtools: ({ output }) => Number(output) > 0,
  ffmpeg: ({ file }) => file('frame.png').readUInt32BE(16) === 320,
  rclone: ({ isSame, output }) => {
    return (
      isSame('copy/island.tif', 'island.tif') &&
      output.includes(`${sample('offsets.txt').subarray(640, 704)}`)
    )
  },
  wget: ({ isSame }) => isSame('reads.bam') && isSame('reads.bam.bai'),
  python3: ({ output }) => Number(output) === 2095
}

// asked of a page until it answers; the list of what was read comes a moment after what was read
const whenDone = `(() => {
  const { result, bytes } = document.body?.dataset ?? {}
  if (result === undefined || (result === 'ok' && !(bytes > 0))) return null
  return { result, said: document.querySelector('#result').textContent, bytes: Number(bytes) }
})()`
const pageChecks = {
  map: { text: 'The tiles of this view are here.', isPart: () => true },
  // a player decides for itself how much it reads ahead
  video: { text: 'It shows second 12.', isPart: () => true },
  parquet: {
    text: '°C at the warmest',
    isPart: (bytes) => bytes < sample('stations.parquet').length / 2
  },
  // pdf.js begins with a request of the whole file and breaks it off, but not before a small one is there
  pdf: { text: 'The island, page 5 of 8', isPart: () => true }
}

process.exitCode = 1
try {
  cpSync(join(projectFolder, 'sample'), root, { recursive: true })
  const hasZarr = makeZarr()
  const url = await serve(root, '--index', 'on', '--dotfiles', 'allow', '--server-timing', 'on')
  const results = recipes().map(({ program, language, code }) => {
    if (program === 'python3' ? !hasZarr : !isInstalled(program))
      return say(program, 'skipped: not installed')
    return say(program, problemOf(program, language, code, url) ?? 'ok')
  })
  if (!process.argv.includes('--no-pages')) results.push(...(await checkPages(url)))
  const failed = results.filter((result) => result !== 'ok' && !result.startsWith('skipped'))
  console.log(
    `${results.filter((result) => result === 'ok').length} passed, ${failed.length} failed`
  )
  if (failed.length === 0) process.exitCode = 0
} finally {
  for (const server of servers) server.kill()
  rmSync(folder, { recursive: true, force: true })
}

function say(name, result) {
  console.log(`${name}: ${result}`)
  return result
}

/** The blocks of code that stand below a comment `run: PROGRAM`. */
function recipes() {
  const text = readFileSync(join(projectFolder, 'docs', 'recipes.md'), 'utf8')
  const found = [...text.matchAll(/<!-- run: (\w+) -->\n```(\w+)\n([\s\S]*?)```/g)]
  const programs = found.map(([, program]) => program)
  const unknown = programs.filter((program) => checks[program] === undefined)
  const missing = Object.keys(checks).filter((program) => !programs.includes(program))
  if (unknown.length + missing.length > 0) {
    throw new Error(`recipes without a check: ${unknown}; checks without a recipe: ${missing}`)
  }
  return found.map(([, program, language, code]) => ({ program, language, code }))
}

/** @returns what went wrong; undefined: nothing */
function problemOf(program, language, code, url) {
  const cwd = join(folder, program)
  mkdirSync(cwd)
  const options = {
    cwd,
    encoding: 'utf8',
    timeout: limitMs,
    env: { ...process.env, RCLONE_CONFIG: join(cwd, 'none') }
  }
  const address = JSON.stringify(url)
  const { status, stdout, stderr } =
    language === 'python'
      ? spawnSync(python, ['-c', `url = ${address}\n${code}`], options)
      : spawnSync('bash', ['-euo', 'pipefail', '-c', `url=${address}\n${code}`], options)
  if (status !== 0) return `exit status ${status}: ${stderr.slice(-500)}`
  const file = (name) => readFileSync(join(cwd, name))
  const isRight = checks[program]({
    output: stdout,
    file,
    isSame: (name, of = name) => file(name).equals(sample(of)),
    run: (command, ...words) => execFileSync(command, words, { cwd, encoding: 'utf8' })
  })
  return isRight ? undefined : `not what was expected: ${stdout.slice(-500)}`
}

function sample(name) {
  return readFileSync(join(projectFolder, 'sample', name))
}

function isInstalled(program) {
  return spawnSync(program, ['--version']).error === undefined
}

/** Heights in chunks of 8 by 8; the value at y, x is 100 y + x. @returns whether its packages are installed */
function makeZarr() {
  const code = `
import sys, numpy, xarray, zarr, fsspec, aiohttp
y, x = numpy.mgrid[0:96, 0:96]
heights = xarray.DataArray((100 * y + x).astype("i4"), dims=("y", "x"), name="height",
    coords={"y": numpy.arange(96), "x": numpy.arange(96)})
encoding = {"height": {"chunks": (8, 8)}}
heights.to_dataset().to_zarr(sys.argv[1], consolidated=True, encoding=encoding)`
  return spawnSync(python, ['-c', code, join(root, 'heights.zarr')]).status === 0
}

/** @returns the URL of the root, without a slash at its end */
function serve(dir, ...options) {
  const words = [join(projectFolder, 'dist', 'main.js'), dir, '-p', '0', '--log-format', 'json']
  const server = spawn(process.execPath, [...words, ...options], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  servers.push(server)
  return new Promise((resolve, reject) => {
    server.once('exit', () => reject(new Error('the service did not start')))
    let text = ''
    server.stdout.on('data', (chunk) => {
      text += chunk
      const line = text.split('\n').find((line) => line.includes('"listening"'))
      if (line !== undefined) resolve(JSON.parse(line).url.replace(/\/$/, ''))
    })
  })
}

/** @param url of the sample files */
async function checkPages(url) {
  const program = ['chromium', 'chromium-browser', 'google-chrome'].find(isInstalled)
  if (program === undefined) return [say('pages', 'skipped: there is no Chromium')]
  const pages = join(folder, 'pages')
  cpSync(join(projectFolder, 'examples'), pages, { recursive: true })
  const words = ['install', '--no-audit', '--no-fund', '--ignore-scripts', '--omit=optional']
  execFileSync('npm', words, { cwd: pages, stdio: 'ignore' })
  const origin = await serve(pages, '--prefix', '/')
  const results = []
  const browser = new Browser(program, join(folder, 'profile'))
  servers.push({ kill: () => browser.close() })
  for (const [name, check] of Object.entries(pageChecks)) {
    const address = `${origin}/${name}.html?files=${url}`
    const shown = await browser.open(address, whenDone, pageLimitMs)
    results.push(say(`${name}.html`, problemOfPage(shown, check) ?? 'ok'))
  }
  return results
}

/** @returns undefined: there is none */
function problemOfPage(shown, { text, isPart }) {
  if (shown === undefined) return 'it was not done in time, or cannot see what it has read'
  const { result, said, bytes } = shown
  if (result !== 'ok') return `not done: ${result}`
  if (!said.includes(text)) return `it says ${said}`
  return isPart(bytes) ? undefined : `it has read ${bytes} bytes`
}

// Packs the package and installs it as users do, into empty folders, with a compiler and without one. Checks what is
// in it, how much comes with it, that nothing frightening is printed, and the bytes that it serves: as a command, in
// an app of ES modules, in one of CommonJS, and for the compiler of TypeScript. Needs a registry.
//   npm run test:package
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import {
  accessSync,
  constants,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const maxPackages = 80
const maxMiB = 40
// what a build needs, by any of its names
const buildTools = /^(make|gmake|cc|c\+\+|gcc.*|g\+\+.*|clang.*|python.*|node-gyp)$/

const project = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
// without what `npm run` adds, such as the settings of this project's .npmrc
const ownEnvironment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name))
)
const work = mkdtempSync(path.join(tmpdir(), 'mmap-range-server-package-'))
process.on('exit', () => rmSync(work, { recursive: true, force: true }))

const tarball = pack()
checkPublication()
for (const hasCompiler of [false, true]) await checkInstallation(hasCompiler)

function pack() {
  const [{ filename, files, size }] = JSON.parse(
    run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', work], { cwd: project })
  )
  const names = files.map((file) => file.path)
  for (const name of [
    'dist/main.js',
    'dist/plugin.js',
    'dist/plugin.d.ts',
    'man/mmap-range-server.1',
    'sample/README.txt',
    'LICENSE',
    'README.md',
    'CHANGELOG.md',
    'SECURITY.md'
  ]) {
    assert.ok(names.includes(name), `${name} is not in the package`)
  }
  const strange = names.filter((name) =>
    /^(src|test|load|dist\/(load|test))\/|\.map$|echarts/.test(name)
  )
  assert.deepEqual(strange, [], 'these are not of the service')
  console.log(`packed: ${names.length} files, ${Math.round(size / 1024)} KiB`)
  return path.join(work, filename)
}

/** What npm would warn of when the package is published. */
function checkPublication() {
  const { status, stdout, stderr } = spawnSync(
    'npm',
    ['publish', tarball, '--dry-run', '--tag', 'dry-run'],
    { cwd: work, encoding: 'utf8' }
  )
  assert.equal(status, 0, stdout + stderr)
  const warnings = stderr.split('\n').filter((line) => /npm (warn|error)/i.test(line))
  const objections = warnings.filter((line) => !/requires you to be logged in/.test(line))
  assert.deepEqual(objections, [])
  console.log('npm publish --dry-run: nothing to object')
}

async function checkInstallation(hasCompiler) {
  const what = hasCompiler ? 'with a compiler' : 'without a compiler'
  const folder = path.join(work, hasCompiler ? 'with' : 'without')
  mkdirSync(folder)
  writeFileSync(path.join(folder, 'package.json'), '{ "private": true }')
  const env = { ...ownEnvironment, ...(hasCompiler ? {} : { PATH: pathWithoutTools() }) }
  const install = spawnSync(
    'npm',
    ['install', '--no-audit', '--no-fund', '--no-update-notifier', tarball],
    {
      cwd: folder,
      env,
      encoding: 'utf8'
    }
  )
  const output = install.stdout + install.stderr
  assert.equal(install.status, 0, output)
  checkOutput(output)
  const packages = Number(/added (\d+) packages/.exec(output)?.[1]) - 1
  const MiB = Math.ceil(bytesBelow(path.join(folder, 'node_modules')) / 2 ** 20)
  assert.ok(packages <= maxPackages, `${packages} packages are installed with it`)
  assert.ok(MiB <= maxMiB, `${MiB} MiB are installed`)
  const mapper = hasCompiler ? 'mmap-io' : 'koffi'
  await checkCommand(folder, env, mapper)
  checkLibrary(folder, mapper)
  console.log(`${what}: ${packages} packages with it, ${MiB} MiB; ${mapper} maps`)
}

/** @param output of npm: it may speak of engines and of scripts that nobody has approved, but of no failure */
function checkOutput(output) {
  const lines = output
    .split('\n')
    .filter((line) => /\b(err|error|fail\w*|gyp|deprecated|warn)\b/i.test(line))
  const worrying = lines.filter((line) => !/EBADENGINE|warn (install|allow)-scripts/.test(line))
  assert.deepEqual(worrying, [])
}

/** As `npx mmap-range-server`: the sample folder, mapped by what is there. */
async function checkCommand(folder, env, mapper) {
  const words = [
    '--no-install',
    'mmap-range-server',
    '--port',
    '0',
    '--ops-port',
    '0',
    '--log-format',
    'json'
  ]
  const server = spawn('npx', withKnown(words, folder), { cwd: folder, env, detached: true })
  try {
    const line = await firstLine(server)
    assert.equal(line.mapper, mapper)
    const sample = readFileSync(path.join(project, 'sample', 'offsets.txt'))
    for (const [start, end] of [
      [0, 1],
      [640, 704],
      [60_000, sample.length],
      // a small file is mapped when it is asked for again and again
      [1, 2],
      [2, 3],
      [3, 4]
    ]) {
      const range = `bytes=${start}-${end - 1}`
      const answer = await fetch(`${line.url}offsets.txt`, { headers: { range } })
      assert.equal(answer.status, 206)
      const bytes = Buffer.from(await answer.arrayBuffer())
      assert.ok(bytes.equals(sample.subarray(start, end)), `wrong bytes of ${range}`)
    }
    const metrics = await (await fetch(`${line.opsUrl}/metrics`)).text()
    assert.match(metrics, new RegExp(`^range_server_info\\{.*mapper="${mapper}".*\\} 1$`, 'm'))
    assert.match(metrics, /^http_response_body_bytes_total\{source="mapped"\} [1-9]/m)
  } finally {
    process.kill(-server.pid, 'SIGTERM')
  }
}

/** Without options that this version does not have. */
function withKnown(words, folder) {
  const help = run('npx', ['--no-install', 'mmap-range-server', '--help'], { cwd: folder })
  return help.includes('--log-format') ? words : words.slice(0, -2)
}

function firstLine(server) {
  return new Promise((resolve, reject) => {
    let text = ''
    let errors = ''
    server.stderr.setEncoding('utf8').on('data', (chunk) => {
      errors += chunk
    })
    server.stdout.setEncoding('utf8').on('data', (chunk) => {
      text += chunk
      const line = text.split('\n').find((line) => line.includes('"listening"'))
      if (line !== undefined && text.includes('\n')) resolve(JSON.parse(line))
    })
    server.on('exit', (code) => reject(new Error(`exit status ${code}: ${text}${errors}`)))
  })
}

function checkLibrary(folder, mapper) {
  const body = `
    const assert = require('node:assert/strict')
    const app = fastify()
    await app.register(mmapRanges, { root: ${JSON.stringify(path.join(project, 'sample'))} })
    app.get('/own', (request, reply) => reply.sendRange('offsets.txt'))
    for (const url of ['/files/offsets.txt', '/own']) {
      const answer = await app.inject({ url, headers: { range: 'bytes=64-127' } })
      assert.equal(answer.statusCode, 206)
      assert.match(answer.payload, /^0*64 /)
      assert.equal(answer.rawPayload.length, 64)
    }
    await app.close()
    console.log('served')`
  const forms = {
    'app.mjs': `import { createRequire } from 'node:module'
      import fastify from 'fastify'
      import { mmapRanges } from 'mmap-range-server'
      const require = createRequire(import.meta.url)
      ${body}`,
    'app.cjs': `const fastify = require('fastify')
      const { mmapRanges } = require('mmap-range-server')
      void (async () => { ${body} })()`
  }
  for (const [name, text] of Object.entries(forms)) {
    writeFileSync(path.join(folder, name), text)
    const env = { ...process.env, UV_THREADPOOL_SIZE: '32' }
    assert.equal(
      run(process.execPath, [name], { cwd: folder, env }),
      'served\n',
      `${name}, ${mapper}`
    )
  }
  // to import it starts nothing that would keep the process
  run(process.execPath, ['-e', "require('mmap-range-server')"], { cwd: folder, timeout: 10_000 })
  const code = `import fastify from 'fastify'
    import { type MmapRangesOptions, mmapRanges } from 'mmap-range-server'
    const options: MmapRangesOptions = { root: '/srv', setHeaders: (_reply, file) => { const n: number = file.size; n.toFixed() } }
    const app = fastify()
    void app.register(mmapRanges, options)
    app.get('/a', (_request, reply) => reply.sendRange('a'))
    // @ts-expect-error no such option
    void app.register(mmapRanges, { root: '/srv', chunkSize: 5 })`
  const tsc = path.join(project, 'node_modules', 'typescript', 'bin', 'tsc')
  const types = path.join(project, 'node_modules', '@types')
  const words =
    '--noEmit --strict --skipLibCheck false --target es2022 --module nodenext --types node'.split(
      ' '
    )
  writeFileSync(path.join(folder, 'types.mts'), code)
  writeFileSync(path.join(folder, 'types.cts'), code)
  run(process.execPath, [tsc, ...words, '--typeRoots', types, 'types.mts', 'types.cts'], {
    cwd: folder
  })
}

/** A folder of links to every program but those that build. */
function pathWithoutTools() {
  const bin = path.join(work, 'bin')
  mkdirSync(bin)
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    for (const name of namesIn(folder)) {
      const program = path.join(folder, name)
      if (buildTools.test(name) || !isExecutable(program)) continue
      try {
        symlinkSync(program, path.join(bin, name))
      } catch {
        // an earlier folder has one of that name
      }
    }
  }
  return bin
}

function namesIn(folder) {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

function bytesBelow(folder) {
  let sum = 0
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name)
    sum += entry.isDirectory() ? bytesBelow(file) : lstatSync(file).blocks * 512
  }
  return sum
}

/** @returns what it prints @throws with all of it when it fails */
function run(program, words, options) {
  const { status, stdout, stderr, error } = spawnSync(program, words, {
    encoding: 'utf8',
    ...options
  })
  assert.equal(status, 0, `${program} ${words.join(' ')}: ${error ?? ''}\n${stdout}${stderr}`)
  return stdout
}

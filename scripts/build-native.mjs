// Makes sure that mmap-io, the one dependency that is compiled, is built for the Node that runs this.
// Does nothing when it already loads and maps; `npm run build` calls it before every compilation.
// With --optional it is the build script of mmap-io in an installed package, see preinstall.mjs: where mmap-io
// cannot be built it stays as it is, nothing fails, and koffi maps in its place.
import { spawnSync } from 'node:child_process'
import {
  accessSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync
} from 'node:fs'
import { basename, delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { addonFolder } from './addon-folder.mjs'

const projectDir = dirname(dirname(fileURLToPath(import.meta.url)))
const isOptional = process.argv.includes('--optional')
const env = process.env
const logTailLines = 40

// Run in a child: loading a damaged library can kill the process that tries it. The page that it
// maps and compares is the library's own first one.
const probe = `
  const fs = require('node:fs')
  const mmap = require('mmap-io')
  const file = require.resolve('mmap-io/build/Release/mmap-io.node')
  const head = Buffer.alloc(mmap.PAGESIZE)
  const fd = fs.openSync(file, 'r')
  fs.readSync(fd, head, 0, head.length, 0)
  const page = mmap.map(head.length, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
  if (!head.equals(page)) throw new Error('a mapped page differs from the file')
`

main()

function main() {
  if (process.platform !== 'linux') {
    fail(`mmap-range-server runs on Linux only; this is ${process.platform}.`)
  }
  const addonDir = addonFolder()
  if (addonDir === undefined) fail('mmap-io is not installed: run `npm ci` first.')
  if (probeAddon() === undefined) return

  const compiler = findCompiler()
  requireTools(compiler)
  const target = `Node ${process.versions.node} (${process.platform}-${process.arch})`
  console.log(`mmap-io: building the native module for ${target} …`)
  buildAddon(addonDir, compiler)
  const problem = probeAddon()
  if (problem === undefined) {
    if (isOptional) removeLeftovers(addonDir)
    return
  }
  rmSync(join(addonDir, 'build'), { recursive: true, force: true })
  fail(`mmap-io was built for ${target} but does not work: ${problem}`)
}

/** Load mmap-io and map a page in a child process; returns what went wrong, undefined if nothing. */
function probeAddon() {
  const child = spawnSync(process.execPath, ['-e', probe], { cwd: projectDir, encoding: 'utf8' })
  if (child.status === 0) return undefined
  const message = child.stderr?.split('\n').find((line) => /^\w*Error\b/.test(line))
  return message ?? (child.signal ? `killed by ${child.signal}` : `exit status ${child.status}`)
}

function buildAddon(addonDir, compiler) {
  // What an interrupted build or another Node left behind.
  rmSync(join(addonDir, 'build'), { recursive: true, force: true })
  const [command, ...args] = isOptional ? nodeGyp() : rebuild()
  const build = spawnSync(command, args, {
    cwd: isOptional ? addonDir : projectDir,
    encoding: 'utf8',
    maxBuffer: Number.POSITIVE_INFINITY,
    env: {
      ...env,
      // The steps of the build find their Node by name.
      PATH: `${dirname(process.execPath)}${delimiter}${env.PATH ?? ''}`,
      CXX: compiler,
      // mmap-io asks for C++11, too old for the headers of Node 20 and later; the last -std wins.
      CXXFLAGS: `${env.CXXFLAGS ?? ''} -std=c++20`.trim(),
      ...nodeHeaders()
    }
  })
  if (build.status === 0) return
  rmSync(join(addonDir, 'build'), { recursive: true, force: true })
  const output = build.error ? String(build.error) : `${build.stdout}${build.stderr}`
  console.error(output.trimEnd().split('\n').slice(-logTailLines).join('\n'))
  fail('mmap-io could not be built; the end of the output of its build is above.')
}

/** Of an installed package nobody needs what lies between the source and the module. */
function removeLeftovers(addonDir) {
  const build = join(addonDir, 'build')
  for (const name of readdirSync(build)) {
    if (name !== 'Release') rmSync(join(build, name), { recursive: true })
  }
  for (const name of readdirSync(join(build, 'Release'))) {
    if (name !== 'mmap-io.node') rmSync(join(build, 'Release', name), { recursive: true })
  }
}

/** In a checkout, whose .npmrc keeps dependencies from running code: by npm, for this one package. */
function rebuild() {
  // npm_execpath may also name another package manager.
  const npmCli = env.npm_execpath
  const isNpm = npmCli && basename(npmCli) === 'npm-cli.js'
  const npm = isNpm ? [process.execPath, npmCli] : ['npm']
  return [...npm, 'rebuild', 'mmap-io', '--ignore-scripts=false']
}

/** Within an installation: npm is at work already, and tells which node-gyp it has. */
function nodeGyp() {
  const script = env.npm_config_node_gyp
  return [...(script ? [process.execPath, script] : ['node-gyp']), 'rebuild']
}

/**
 * Headers that came with this very Node are preferred to a download, and to those of another Node
 * that npm's `nodedir` may name.
 */
function nodeHeaders() {
  const nodeDir = dirname(dirname(process.execPath))
  const versionHeader = join(nodeDir, 'include', 'node', 'node_version.h')
  if (!existsSync(versionHeader)) return {}
  const text = readFileSync(versionHeader, 'utf8')
  const version = ['MAJOR', 'MINOR', 'PATCH']
    .map((part) => text.match(`#define NODE_${part}_VERSION (\\d+)`)?.[1])
    .join('.')
  return version === process.versions.node ? { npm_config_nodedir: nodeDir } : {}
}

/** The user's CXX, else the first C++ compiler on PATH; undefined if there is none. */
function findCompiler() {
  if (env.CXX) return findProgram(env.CXX.trim().split(/\s+/)[0]) ? env.CXX : undefined
  return ['g++', 'c++', 'clang++'].find(findProgram)
}

function requireTools(compiler) {
  const missing = []
  if (!compiler) missing.push(env.CXX ? `the C++ compiler CXX=${env.CXX}` : 'a C++ compiler')
  if (!findProgram(env.MAKE || 'make')) missing.push('make')
  if (!env.PYTHON && !env.npm_config_python && !findProgram('python3')) missing.push('python3')
  if (missing.length === 0) return
  fail(
    `mmap-io must be built for this Node, but the machine lacks ${missing.join(', ')}. To install:`,
    '  Debian, Ubuntu   apt-get install g++ make python3',
    '  Fedora, RHEL     dnf install gcc-c++ make python3',
    '  Alpine           apk add g++ make python3'
  )
}

/** Whether a name is an executable file on PATH, or a path to one. */
function findProgram(name) {
  const dirs = name.includes('/') ? [''] : (env.PATH ?? '').split(delimiter)
  return dirs.some((dir) => {
    const file = join(dir, name)
    try {
      accessSync(file, constants.X_OK)
      return statSync(file).isFile()
    } catch {
      return false
    }
  })
}

function fail(...lines) {
  console.error(lines.join('\n'))
  process.exit(isOptional ? 0 : 1)
}

// Writes the bill of materials of a release: every package that the program consists of, with version, checksum and
// licence, as CycloneDX and as SPDX, from package-lock.json by `npm sbom`.
//   npm run sbom [FOLDER, release]
// It has the packages of all platforms, because the lock file is of all. Those of tests, of the build and of the load
// harness are not in it; what the build puts into the live page is.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const project = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const folder = path.resolve(process.argv[2] ?? path.join(project, 'release'))
const manifest = read('package.json')
const lock = read('package-lock.json')

// `npm sbom --omit=dev` leaves out what the program and a package of the build both need (npm 11.19). So npm gets a copy
// of the manifest that has nothing but the program, and prunes the lock file by it, which takes no network.
const { devDependencies, workspaces, ...program } = manifest
for (const name of packagesOfPage()) program.dependencies[name] = devDependencies[name]
// npm 10 keeps workspaces that are in the lock file alone
const harness = Object.keys(lock.packages).filter(
  (key) => workspaces.includes(key) || workspaces.includes(lock.packages[key].resolved)
)
for (const key of harness) delete lock.packages[key]

const temp = fs.mkdtempSync(path.join(os.tmpdir(), 'sbom-'))
try {
  // npm takes the name of the component from the folder
  const copy = path.join(temp, manifest.name)
  fs.mkdirSync(copy)
  fs.writeFileSync(path.join(copy, 'package.json'), JSON.stringify(program))
  fs.writeFileSync(path.join(copy, 'package-lock.json'), JSON.stringify(lock))
  npm(copy, ['install', '--package-lock-only', '--offline', '--ignore-scripts'])
  fs.mkdirSync(folder, { recursive: true })
  for (const [format, ending] of [
    ['cyclonedx', 'cdx'],
    ['spdx', 'spdx']
  ]) {
    const options = ['--package-lock-only', '--sbom-type=application', `--sbom-format=${format}`]
    const text = npm(copy, ['sbom', ...options])
    const packages = packagesIn(JSON.parse(text))
    check(packages)
    const file = path.join(folder, `${manifest.name}-${manifest.version}.${ending}.json`)
    fs.writeFileSync(file, text)
    console.log(`${path.relative(process.cwd(), file)}: ${packages.length} packages`)
  }
} finally {
  fs.rmSync(temp, { recursive: true, force: true })
}

function npm(cwd, words) {
  return execFileSync('npm', words, { cwd, encoding: 'utf8', maxBuffer: 2 ** 26 })
}

function read(file) {
  return JSON.parse(fs.readFileSync(path.join(project, file), 'utf8'))
}

/** @returns names of the packages that the scripts and styles of the live page import */
function packagesOfPage() {
  const names = fs
    .readdirSync(path.join(project, 'page'))
    .filter((file) => /\.(ts|css)$/.test(file))
    .flatMap((file) => {
      const text = fs.readFileSync(path.join(project, 'page', file), 'utf8')
      return [...text.matchAll(/(?:from|import) ['"]((?:@[^/'"]+\/)?[^/'".]+)/g)]
    })
    .map(([, name]) => name)
  return [...new Set(names)].filter((name) => name in devDependencies)
}

/** @returns `name@version` of each package of a bill, without the program itself */
function packagesIn(bill) {
  const packages =
    bill.bomFormat === 'CycloneDX'
      ? bill.components.map(({ group, name, version }) => ({
          // a scope is in the name, or beside it
          name: group ? `${group}/${name}` : name,
          version
        }))
      : bill.packages
          .filter(({ name }) => name !== manifest.name)
          .map(({ name, versionInfo }) => ({ name, version: versionInfo }))
  return packages.map(({ name, version }) => `${name}@${version}`).sort()
}

/** @throws Error unless these are the packages that the lock file gives the program, and no others */
function check(packages) {
  const wanted = new Set()
  const { dependencies, optionalDependencies } = program
  collect(wanted, '', { dependencies, optionalDependencies })
  const missing = [...wanted].filter((each) => !packages.includes(each))
  const strange = packages.filter((each) => !wanted.has(each))
  if (missing.length > 0 || strange.length > 0) {
    throw new Error(`missing: ${missing.join(', ')}; not of the program: ${strange.join(', ')}`)
  }
}

/** Follows the lock file as Node looks packages up: below the package that asks, then below each one above it. */
function collect(found, place, { dependencies, optionalDependencies }) {
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
    let above = place
    while (above !== '' && !(`${above}/node_modules/${name}` in lock.packages)) {
      above = above.slice(0, Math.max(0, above.lastIndexOf('/node_modules/')))
    }
    const key = above === '' ? `node_modules/${name}` : `${above}/node_modules/${name}`
    const entry = lock.packages[key]
    const each = `${name}@${entry.version}`
    if (found.has(each)) continue
    found.add(each)
    collect(found, key, entry)
  }
}

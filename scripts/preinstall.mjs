// Runs when npm installs this package, before the install scripts of its dependencies: tells mmap-io how it is to be
// built. Its own build asks for C++11, which fails with the headers of every supported Node, after a long time.
// `npm run build-addon`, which its install script calls, becomes build-native.mjs. Where package managers run no
// scripts, or in another order, mmap-io is not built, and koffi maps in its place.
import { readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { addonFolder } from './addon-folder.mjs'

const addonDir = addonFolder()
try {
  if (addonDir !== undefined) useOurBuild(addonDir)
} catch (error) {
  // a folder that may not be written, such as a store that is shared: the package works without
  console.error(`mmap-io is left as it is: ${error.message}`)
}

function useOurBuild(folder) {
  const file = join(folder, 'package.json')
  const manifest = JSON.parse(readFileSync(file, 'utf8'))
  const script = relative(folder, fileURLToPath(new URL('build-native.mjs', import.meta.url)))
  manifest.scripts['build-addon'] = `"$npm_node_execpath" "${script}" --optional`
  writeFileSync(file, `${JSON.stringify(manifest, undefined, 2)}\n`)
}

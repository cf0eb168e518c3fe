/** For `node --require`: ends the process when it loads native code, with a status and a line of its own. */
import fs from 'node:fs'

process.dlopen = (_module: object, file: string) => {
  // an exception could be caught by what has a way to do without
  fs.writeSync(2, `native code: ${file}\n`)
  process.exit(99)
}

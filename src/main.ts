#!/usr/bin/env node
/**
 * The program: it reads the options and ends with an exit status. It alone calls process.exit. What runs the
 * service is loaded after the options are known to be right, so that --help, --version and a mistake load no native
 * code.
 */

// Before anything can start libuv's thread pool: its 4 threads are fewer than a handful of cold readers keep
// busy on a slow disk, and then no other file can be opened. See storage/thread-pool.ts for its shares: of 64, 24 may
// read one file. On a disk that answers in 20 ms that is as many ranges of it per second as nginx reads with its 32.
process.env.UV_THREADPOOL_SIZE ??= '64'

import { type Command, ConfigError, readCommand } from './config/command-line.ts'
import { packageVersion } from './config/package.ts'

void main()

async function main(): Promise<void> {
  const [word, ...words] = process.argv.slice(2)
  if (word === 'advise') {
    const { advise } = await import('./advise/main.ts')
    process.exit(await advise(words))
  }
  const command = commandOrExit()
  if (command.kind === 'print') {
    process.stdout.write(`${command.text}\n`)
    process.exit(0)
  }
  const { serve } = await import('./process/serve.ts')
  process.exit(await serve(command.config))
}

function commandOrExit(): Command {
  try {
    return readCommand(process.argv.slice(2), process.env, packageVersion())
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(2)
  }
}

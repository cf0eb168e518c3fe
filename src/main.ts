/** The process: options in, service up, signals out. Alone calls process.exit. */

// Before anything can start libuv's thread pool: its 4 threads are fewer than a handful of cold readers keep
// busy on a slow disk, and then nobody else's file can be opened. 24 was measured to leave hot requests alone.
process.env.UV_THREADPOOL_SIZE ??= '24'

import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { FastifyInstance } from 'fastify'
import pino from 'pino'
import { buildApp } from './app.ts'
import { type Config, ConfigError, readCommand } from './config.ts'
import { shutDownOn } from './shutdown.ts'
import { systemCode } from './storage/errors.ts'

void main()

async function main(): Promise<void> {
  const config = configOrExit()
  const log = pino({ level: config.logLevel })
  process.on('uncaughtException', (error) => {
    // Half alive is worse than gone: whoever watches over the process starts it again.
    log.fatal({ err: error }, 'uncaught error')
    process.exit(1)
  })
  if (config.mode === 'mmap' && config.guard === 'off') {
    log.warn('--guard off: one cold page stops every connection; for experiments only')
  }
  const app = await buildApp(config, log, version())
  shutDownOn(['SIGTERM', 'SIGINT'], app, config.shutdownTimeoutMs, log)
  const { host, port, opsPort, mode, guard, root } = config
  const opsUrl =
    app.ops === undefined ? undefined : await listenOrExit(app.ops, host, opsPort as number)
  const url = (await listenOrExit(app.server, host, port)) + config.prefix
  log.info({ url, opsUrl, mode, guard, workers: 1, root }, 'listening')
  if (root === path.join(__dirname, '..', 'sample')) {
    process.stderr.write(`Try it:  curl -r 0-99 ${url}README.txt\n`)
  }
}

function configOrExit(): Config {
  try {
    const command = readCommand(process.argv.slice(2), process.env, version())
    if (command.kind === 'serve') return command.config
    process.stdout.write(`${command.text}\n`)
    process.exit(0)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`${error.message}\n`)
    process.exit(2)
  }
}

function version(): string {
  const manifest = readFileSync(path.join(__dirname, '..', 'package.json'), 'utf8')
  return (JSON.parse(manifest) as { version: string }).version
}

/** @returns the origin, such as http://127.0.0.1:8080 */
async function listenOrExit(server: FastifyInstance, host: string, port: number): Promise<string> {
  try {
    return await server.listen({ host, port })
  } catch (error) {
    const why: Record<string, string> = {
      EADDRINUSE: 'the port is taken',
      EACCES: 'this user may not use the port',
      EADDRNOTAVAIL: 'this machine has no such address',
      ENOTFOUND: 'the host name is unknown'
    }
    const code = systemCode(error) ?? 'unknown error'
    process.stderr.write(`cannot listen on ${host}:${port}: ${why[code] ?? code}\n`)
    process.exit(1)
  }
}

/** nginx as a server of files, where it is installed: what to compare a server of files with. */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { LeftOut } from './left-out.ts'
import type { Server, Start } from './modes.ts'
import { launch, stopper } from './processes.ts'

/** Where a peer runs. */
export interface Place {
  /** for its own files; removed when it ends */
  readonly folder: string
  readonly root: string
  readonly port: number
  readonly workers: number
}

/** How nginx reads files. */
export interface NginxSettings {
  readonly sendfile: 'on' | 'off'
  /** reads wait on threads, and not on the event loop; needs a build with threads */
  readonly aio: 'threads' | 'off'
}

/** @returns the path of a program; undefined: it is not installed. Where Debian puts servers is not on everybody's path */
export function programOnPath(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin']
  return folders.map((folder) => path.join(folder, name)).find((file) => fs.existsSync(file))
}

/** Whether the nginx that is installed reads with `aio threads`. */
export function hasThreads(): boolean {
  const nginx = programOnPath('nginx')
  if (nginx === undefined) return false
  try {
    // it tells on stderr
    const told = execFileSync('sh', ['-c', '"$0" -V 2>&1', nginx], { encoding: 'utf8' })
    return /\s--with-threads(\s|$)/.test(told)
  } catch {
    return false
  }
}

/** @returns the command, after its configuration was written */
export function nginxCommand(
  { folder, root, port, workers }: Place,
  { sendfile, aio }: NginxSettings
): [string, ...string[]] {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${folder}/${kind};`)
    .join('\n')
  const file = path.join(folder, 'nginx.conf')
  fs.writeFileSync(
    file,
    `worker_processes ${workers};
daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  sendfile ${sendfile};
  aio ${aio};
  tcp_nopush off;
  open_file_cache max=100 inactive=60s;
${temporary}
  server {
    listen 127.0.0.1:${port};
    root "${root}";
  }
}
`
  )
  return [programOnPath('nginx') ?? 'nginx', '-e', `${folder}/error.log`, '-c', file]
}

/**
 * A server that is not ours, until it answers.
 * @param name for the user
 * @throws LeftOut when it does not come up
 */
export async function startOther(
  name: string,
  { root, workers = 1, isPinned = workers === 1, limit }: Start,
  commandOf: (place: Place) => [string, ...string[]]
): Promise<Server> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'range-load-'))
  const port = await freePort()
  const child = launch({
    command: commandOf({ folder, root, port, workers }),
    isPinned,
    limit,
    home: folder
  })
  child.stdout?.resume()
  const stop = stopper(child)
  const stopAndRemove = async () => {
    await stop()
    fs.rmSync(folder, { recursive: true, force: true })
  }
  for (let tries = 0; tries < 100; tries++) {
    if (await accepts(port)) {
      return {
        filesUrl: `http://127.0.0.1:${port}/`,
        metricsUrl: undefined,
        pid: child.pid,
        signal: () => child.signalCode ?? undefined,
        stop: stopAndRemove
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  await stopAndRemove()
  throw new LeftOut(name, 'it did not come up within 5 seconds')
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo
      server.close(() => resolve(port))
    })
  })
}

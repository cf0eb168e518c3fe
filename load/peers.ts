/** Other servers of files, on the same ranges, where they are installed. */
import fs from 'node:fs'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { LeftOut } from './left-out.ts'
import type { Mode, Server, Start } from './modes.ts'
import { launch, stopper } from './processes.ts'

interface Peer extends Mode {
  readonly program: string
  command(folder: string, root: string, port: number): [string, ...string[]]
}

const peers: readonly Peer[] = [
  {
    name: 'nginx',
    says: 'nginx, sendfile on, tcp_nopush off',
    program: 'nginx',
    command: (folder, root, port) => nginx(folder, root, port, 'on')
  },
  {
    name: 'nginx-no-sendfile',
    says: 'nginx, sendfile off',
    program: 'nginx',
    command: (folder, root, port) => nginx(folder, root, port, 'off')
  },
  {
    name: 'caddy',
    says: 'Caddy, file_server',
    program: 'caddy',
    command: (folder, root, port) => {
      const file = path.join(folder, 'Caddyfile')
      fs.writeFileSync(
        file,
        `{\n\tadmin off\n}\nhttp://127.0.0.1:${port} {\n\troot * ${JSON.stringify(root)}\n\tfile_server\n}\n`
      )
      return ['caddy', 'run', '--adapter', 'caddyfile', '--config', file]
    }
  },
  {
    name: 'fastify-static',
    says: '@fastify/static',
    program: '@fastify/static',
    command: (_folder, root, port) => [
      process.execPath,
      path.join(__dirname, 'fastify-static.js'),
      root,
      `${port}`
    ]
  }
]

/** Those that are installed here. */
export function installedPeers(): readonly Mode[] {
  return peers.filter(({ program }) =>
    program.startsWith('@') ? isPackage(program) : isOnPath(program)
  )
}

function isPackage(name: string): boolean {
  try {
    require.resolve(name)
    return true
  } catch {
    return false
  }
}

function isOnPath(program: string): boolean {
  // where Debian puts servers is not on everybody's path
  const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin']
  return folders.some((folder) => fs.existsSync(path.join(folder, program)))
}

/** One worker of nginx, as of everybody else. */
function nginx(
  folder: string,
  root: string,
  port: number,
  sendfile: 'on' | 'off'
): [string, ...string[]] {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${folder}/${kind};`)
    .join('\n')
  const file = path.join(folder, 'nginx.conf')
  fs.writeFileSync(
    file,
    `worker_processes 1;
daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
pid ${folder}/nginx.pid;
error_log ${folder}/error.log;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000000;
  sendfile ${sendfile};
  tcp_nopush off;
  open_file_cache max=100 inactive=60s;
${temporary}
  server {
    listen 127.0.0.1:${port};
    root ${root};
  }
}
`
  )
  const program =
    isOnPath('nginx') && fs.existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx'
  return [program, '-e', `${folder}/error.log`, '-c', file]
}

/** @throws LeftOut when it does not come up */
export async function startPeer(name: string, { root, limit }: Start): Promise<Server> {
  const peer = peers.find((each) => each.name === name)
  if (peer === undefined) throw new Error(`there is no peer ${name}`)
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'range-load-'))
  const port = await freePort()
  const child = launch({
    command: peer.command(folder, root, port),
    isPinned: true,
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

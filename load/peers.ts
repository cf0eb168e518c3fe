/** Other servers of files, on the same ranges, where they are installed; and the textbook way to map a file. */
import fs from 'node:fs'
import path from 'node:path'
import type { Mode, Server, Start } from '#src/advise/modes.ts'
import {
  hasThreads,
  nginxCommand,
  type Place,
  programOnPath,
  startOther
} from '#src/advise/nginx.ts'

interface Peer extends Mode {
  readonly isInstalled: () => boolean
  readonly command: (place: Place) => [string, ...string[]]
}

const hasNginx = () => programOnPath('nginx') !== undefined

const peers: readonly Peer[] = [
  {
    name: 'nginx',
    says: 'nginx, sendfile on, tcp_nopush off',
    isInstalled: hasNginx,
    command: (place) => nginxCommand(place, { sendfile: 'on', aio: 'off' })
  },
  {
    name: 'nginx-no-sendfile',
    says: 'nginx, sendfile off',
    isInstalled: hasNginx,
    command: (place) => nginxCommand(place, { sendfile: 'off', aio: 'off' })
  },
  {
    name: 'nginx-aio',
    says: 'nginx, sendfile off, aio threads',
    isInstalled: hasThreads,
    command: (place) => nginxCommand(place, { sendfile: 'off', aio: 'threads' })
  },
  {
    name: 'caddy',
    says: 'Caddy, file_server',
    isInstalled: () => programOnPath('caddy') !== undefined,
    command: ({ folder, root, port }) => {
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
    isInstalled: () => isPackage('@fastify/static'),
    command: ({ root, port }) => node('fastify-static.js', root, `${port}`)
  }
]

const advices = ['normal', 'random', 'sequential', 'willneed'] as const

/** A mapped file without a guard, as examples show it; for docs/mmap-on-trial.md. */
const textbook: readonly Peer[] = [
  ...advices.map((advice) =>
    textbookPeer(
      advice === 'normal' ? 'textbook' : `textbook-${advice}`,
      advice === 'normal' ? 'no advice' : `MADV_${advice.toUpperCase()}`,
      [advice]
    )
  ),
  textbookPeer('textbook-checksum', 'an ETag from the bytes of each answer', [
    'normal',
    'checksum'
  ]),
  textbookPeer('textbook-each', 'made anew for each request', ['normal', 'each'])
]

function textbookPeer(name: string, says: string, args: readonly string[]): Peer {
  return {
    name,
    says: `node:http and one mapping of the whole file, ${says}`,
    isInstalled: () => isPackage('mmap-io'),
    command: ({ root, port }) => node('textbook.js', root, `${port}`, ...args)
  }
}

/** Those that are installed here. */
export function installedPeers(): readonly Mode[] {
  return peers.filter(({ isInstalled }) => isInstalled())
}

/** Those that only run when they are named. */
export function textbookModes(): readonly Mode[] {
  return textbook.filter(({ isInstalled }) => isInstalled())
}

/** @throws LeftOut when it does not come up */
export async function startPeer(name: string, start: Start): Promise<Server> {
  const peer = [...peers, ...textbook].find((each) => each.name === name)
  if (peer === undefined) throw new Error(`there is no peer ${name}`)
  return startOther(name, start, peer.command)
}

function isPackage(name: string): boolean {
  try {
    require.resolve(name)
    return true
  } catch {
    return false
  }
}

function node(module: string, ...args: string[]): [string, ...string[]] {
  return [process.execPath, path.join(__dirname, module), ...args]
}

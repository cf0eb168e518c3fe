/** One port for several workers. Where Node can, each listens by itself, and the kernel shares the connections out. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type ListenOptions, type Server } from 'node:net'
import { cannotListen } from './cannot-serve.ts'

/**
 * Whether `listen` of node:net has the option `reusePort` (SO_REUSEPORT). Where it has not, node:cluster lets
 * the parent accept and hand each connection to a worker, which costs more than to answer a small request.
 * @param version of Node, such as 22.12.0
 */
export function canReusePort(version = process.versions.node): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (major === 22) return minor >= 12
  if (major === 23) return minor >= 1
  return major > 23
}

/** The right of one service to its port, among all that are started on this machine. */
export interface PortClaim {
  /** never 0 */
  readonly port: number
  /** Another service may have the port as soon as no worker listens. */
  release(): void
}

/**
 * Find out whether workers can listen on a port, and keep other services like this one away from it. With
 * SO_REUSEPORT a second service of the same user would get no error, but a share of the connections.
 *
 * Nobody else must listen now: that is tried, without sharing. Between the end of that trial and the moment in which
 * the workers listen, a second service could pass the same trial: so a name that only one process can have is
 * taken first, in the abstract namespace of Unix sockets, which is as wide as that of ports (the network
 * namespace) and lets go of a name when its process ends.
 * @param port 0: any free one
 * @throws CannotServe
 */
export async function claimPort(host: string, port: number): Promise<PortClaim> {
  try {
    const early = port === 0 ? undefined : await claimName(host, port)
    const trial = await listening({ host, port, exclusive: true })
    const free = (trial.address() as AddressInfo).port // it listens on TCP
    const name = early ?? (await claimName(host, free))
    trial.close()
    await once(trial, 'close')
    return { port: free, release: () => void name?.close() }
  } catch (error) {
    throw cannotListen(error, host, port)
  }
}

/** @returns undefined where it is not needed */
async function claimName(host: string, port: number): Promise<Server | undefined> {
  if (!canReusePort()) return undefined
  const name = await listening({ path: `\0mmap-range-server ${host} ${port}`, exclusive: true })
  return name.unref()
}

/** A server that has nothing to say. */
async function listening(options: ListenOptions): Promise<Server> {
  const server = createServer((socket) => socket.destroy())
  server.listen(options)
  await once(server, 'listening')
  return server
}

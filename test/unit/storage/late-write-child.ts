/** Run by regions.test.ts with --expose-gc: writes Buffers of regions that were let go to a socket. */
import fs from 'node:fs'
import net from 'node:net'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { createCounters } from '#src/storage/counters.ts'
import { FileRegions, RegionTable } from '#src/storage/regions.ts'

const regionBytes = 2 ** 20
const size = 2 ** 31 + regionBytes
const path = join(process.argv[2] as string, 'sparse')
fs.writeFileSync(path, '')
fs.truncateSync(path, size)

void main()

async function main(): Promise<void> {
  const below2GiB = await writeLate(0)
  const above2GiB = await writeLate(2 ** 31)
  // what the collector unmaps now must be nobody else's
  const others = Array.from({ length: 50 }, () => Buffer.alloc(regionBytes, 7))
  for (let round = 0; round < 5; round++) {
    globalThis.gc?.()
    await nextTurn()
  }
  const isAlive = others.every((other) => other.every((byte) => byte === 7))
  console.log(JSON.stringify({ below2GiB, above2GiB, isAlive }))
}

/** @returns the name of the error that the write failed with */
async function writeLate(position: number): Promise<string | undefined> {
  const fd = fs.openSync(path, 'r')
  const owner = new FileRegions(fd, size)
  const table = new RegionTable({ regionBytes, maxMappedBytes: 2 ** 30 }, createCounters())
  const bytes = table.at(owner, position)?.mapping.bytes
  if (bytes === undefined) return 'not mapped'
  table.retireAll(owner)
  fs.closeSync(fd)
  const server = net.createServer().listen(0, '127.0.0.1')
  const [socket, client] = await connect(server)
  const code = await new Promise<string | undefined>((resolve) => {
    socket.on('error', () => {})
    client.on('error', () => {})
    socket.write(bytes, (error) => resolve((error as NodeJS.ErrnoException | null)?.code))
  })
  socket.destroy()
  client.destroy()
  server.close()
  return code
}

function connect(server: net.Server): Promise<[net.Socket, net.Socket]> {
  return new Promise((resolve) => {
    server.once('listening', () => {
      const { port } = server.address() as net.AddressInfo
      const client = net.connect(port, '127.0.0.1').resume()
      server.once('connection', (socket) => resolve([socket, client]))
    })
  })
}

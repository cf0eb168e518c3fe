/** What the compiler allows of the plugin; compiled with the tests, and never run. */
import fastify, { type FastifyReply } from 'fastify'
import { Registry } from 'prom-client'
import { type FileInfo, type MmapRangesOptions, mmapRanges } from '#src/plugin.ts'

export async function allowed(): Promise<void> {
  const app = fastify()
  await app.register(mmapRanges, { root: '/srv' })
  await app.register(mmapRanges, {
    root: new URL('file:///srv'),
    prefix: '/maps/',
    mode: 'read',
    guard: false,
    windowBytes: '256KiB',
    regionBytes: 2 ** 26,
    maxMappedBytes: '8GiB',
    maxOpenFiles: 100,
    maxBufferedBytes: 2 ** 24,
    maxWaitingReads: 10,
    revalidateMs: 500,
    maxRanges: 4,
    symlinks: 'deny',
    dotfiles: 'allow',
    cacheControl: 'no-cache',
    index: true,
    serverTiming: true,
    metrics: new Registry(),
    setHeaders: (reply, file) => {
      const { path, size, modifiedAt }: { path: string; size: number; modifiedAt: Date } = file
      reply.header('x-file', `${path} ${size} ${+modifiedAt}`)
    },
    allowedPath: (path, request) => path.endsWith('.txt') && request.method === 'GET'
  })
  app.get('/a', (_request, reply) => reply.sendRange('a.txt'))
  app.get('/b', async (_request, reply) => reply.sendRange('b.txt', { root: '/other' }))
  const secure = fastify({ http2: true, https: {} })
  await secure.register(mmapRanges, { root: '/srv' })
}

export async function refused(reply: FastifyReply, file: FileInfo): Promise<void> {
  const app = fastify()
  // @ts-expect-error the root is missing
  await app.register(mmapRanges, {})
  // @ts-expect-error no such option
  await app.register(mmapRanges, { root: '/srv', chunkSize: 5 })
  // @ts-expect-error not one of the modes
  await app.register(mmapRanges, { root: '/srv', mode: 'copy' })
  // @ts-expect-error neither a word of the option nor a boolean
  await app.register(mmapRanges, { root: '/srv', index: 'html' })
  // @ts-expect-error no Registry
  await app.register(mmapRanges, { root: '/srv', metrics: {} })
  // @ts-expect-error no number
  reply.sendRange(5)
  // @ts-expect-error no such option
  reply.sendRange('a', { folder: '/srv' })
  // @ts-expect-error read-only
  file.size = 5
  const options: MmapRangesOptions = { root: '/srv' }
  // @ts-expect-error read-only
  options.root = '/other'
}

/** Whether the process lives, and whether it should get traffic. */
import type { FastifyInstance } from 'fastify'
import type { Storage } from '../storage/storage.ts'

export function registerHealth(app: FastifyInstance, storage: Storage): void {
  app.get('/healthz', (_request, reply) => reply.send({ status: 'ok' }))
  app.get('/readyz', async (_request, reply) => {
    try {
      await storage.catalog.assertRoot()
    } catch {
      return reply.serviceUnavailable('the root is gone')
    }
    return { status: 'ok' }
  })
}

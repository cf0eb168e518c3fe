/** What operators and their tools ask: metrics, life, readiness. */
import type { FastifyInstance } from 'fastify'
import { renderMetrics } from '../metrics/registry.ts'
import type { MetricJson } from '../metrics/sum.ts'

/** What can be asked about the service as a whole, however many processes it is. */
export interface Service {
  metrics(): Promise<readonly MetricJson[]>
  /** @returns undefined when ready, otherwise why not */
  whyNotReady(): Promise<string | undefined>
}

// no fields of cross-origin access: pages of other origins must not read these
const config = { cors: false } as const

export function registerMetrics(app: FastifyInstance, service: Service): void {
  app.get('/metrics', { config }, async (request, reply) => {
    const { contentType, text } = await renderMetrics(
      await service.metrics(),
      request.headers.accept
    )
    return reply.type(contentType).send(text)
  })
}

export function registerHealth(app: FastifyInstance, service: Service): void {
  app.get('/healthz', { config }, () => ({ status: 'ok' }))
  app.get('/readyz', { config }, async (_request, reply) => {
    const reason = await service.whyNotReady()
    return reason === undefined ? { status: 'ok' } : reply.serviceUnavailable(reason)
  })
}

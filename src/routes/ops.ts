/** What operators and their tools ask: metrics, life, readiness. */
import type { FastifyInstance } from 'fastify'
import type { Observer } from '../metrics/observer.ts'
import { renderMetrics } from '../metrics/registry.ts'
import type { MetricJson } from '../metrics/sum.ts'
import { follow } from '../plugins/follow.ts'

/** What can be asked about the service as a whole, however many processes it is. */
export interface Service {
  metrics(): Promise<readonly MetricJson[]>
  /** @returns undefined when ready, otherwise why not */
  whyNotReady(): Promise<string | undefined>
}

export interface OpsOptions {
  readonly service: Service
  readonly observer: Observer
}

export function registerOps(app: FastifyInstance, { service, observer }: OpsOptions): void {
  app.addHook('onRequest', async (request, reply) => {
    follow(observer, request, reply)
  })
  // not for pages of other origins
  const config = { cors: false }
  app.get('/metrics', { config }, async (request, reply) => {
    const { contentType, text } = await renderMetrics(
      await service.metrics(),
      request.headers.accept
    )
    return reply.type(contentType).send(text)
  })
  app.get('/healthz', { config }, () => ({ status: 'ok' }))
  app.get('/readyz', { config }, async (_request, reply) => {
    const reason = await service.whyNotReady()
    return reason === undefined ? { status: 'ok' } : reply.serviceUnavailable(reason)
  })
}

/** What operators and their tools ask: metrics, life, readiness. */
import type { FastifyInstance } from 'fastify'
import type { Observer } from '../metrics/observer.ts'
import { type Metrics, renderMetrics } from '../metrics/registry.ts'
import type { Readiness } from '../readiness.ts'

export interface OpsOptions {
  readonly metrics: Metrics
  readonly observer: Observer
  readonly readiness: Readiness
}

export function registerOps(
  app: FastifyInstance,
  { metrics, observer, readiness }: OpsOptions
): void {
  app.addHook('onRequest', async (request, reply) => {
    observer.follow(request, reply)
  })
  // not for pages of other origins
  const config = { cors: false }
  app.get('/metrics', { config }, async (request, reply) => {
    const json = await metrics.registry.getMetricsAsJSON()
    // prom-client's types give each metric its class; what it hands out is the plain values
    const { contentType, text } = await renderMetrics(json as never, request.headers.accept)
    return reply.type(contentType).send(text)
  })
  app.get('/healthz', { config }, () => ({ status: 'ok' }))
  app.get('/readyz', { config }, async (_request, reply) => {
    const reason = await readiness.whyNot()
    return reason === undefined ? { status: 'ok' } : reply.serviceUnavailable(reason)
  })
}

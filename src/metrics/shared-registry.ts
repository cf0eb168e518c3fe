/**
 * Metrics in a registry that is somebody else's: of an app, in which several instances of the plugin may count. Each
 * has a registry of its own; in the app's, each name stands for the sum of them.
 */
import { type MetricJson, sumMetrics } from './sum.ts'

/** What of prom-client's Registry is used. */
export interface MetricsRegistry {
  registerMetric(metric: never): void
  getSingleMetric(name: string): unknown
  removeSingleMetric(name: string): void
}

/** What prom-client's types do not say of a metric. */
interface OwnMetric {
  readonly name: string
  readonly type?: unknown
  get(): Promise<unknown>
}

/** A registry of one instance. */
interface OwnRegistry {
  getMetricsAsArray(): readonly object[]
}

const sharing = new WeakMap<MetricsRegistry, Shared>()

/**
 * @returns taken: names that the app uses for something else, and that are left out; leave: to be called when the
 *   instance is closed
 */
export function share(
  own: OwnRegistry,
  registry: MetricsRegistry
): { readonly taken: readonly string[]; leave(): void } {
  let shared = sharing.get(registry)
  if (shared === undefined) {
    shared = new Shared(registry)
    sharing.set(registry, shared)
  }
  return shared.join(own)
}

class Shared {
  readonly #registry: MetricsRegistry
  readonly #members = new Set<OwnRegistry>()
  readonly #names = new Set<string>()

  constructor(registry: MetricsRegistry) {
    this.#registry = registry
  }

  join(own: OwnRegistry) {
    const taken: string[] = []
    for (const metric of metricsOf(own)) {
      const { name } = metric
      if (this.#names.has(name)) continue
      if (this.#registry.getSingleMetric(name) !== undefined) taken.push(name)
      else this.#register(metric)
    }
    this.#members.add(own)
    return { taken, leave: () => this.#leave(own) }
  }

  #leave(own: OwnRegistry): void {
    this.#members.delete(own)
    if (this.#members.size > 0) return
    for (const name of this.#names) this.#registry.removeSingleMetric(name)
    this.#names.clear()
  }

  #register({ name, type }: OwnMetric): void {
    const metric = {
      // prom-client renames counters for OpenMetrics
      name,
      type,
      get: async () => ({ ...(await this.#sumOf(name)), name: metric.name }),
      reset: () => {}
    }
    this.#registry.registerMetric(metric as never)
    this.#names.add(name)
  }

  async #sumOf(name: string): Promise<MetricJson> {
    const each = [...this.#members].flatMap((own) =>
      metricsOf(own).filter((metric) => metric.name === name)
    )
    // what `get` of a metric of prom-client gives, and of ours
    const values = (await Promise.all(each.map((metric) => metric.get()))) as MetricJson[]
    // the members are asked for names that at least one of them has
    return sumMetrics(values.map((value) => [value]))[0] as MetricJson
  }
}

function metricsOf(own: OwnRegistry): readonly OwnMetric[] {
  return own.getMetricsAsArray() as readonly OwnMetric[]
}

/** What the service counts, as a test reads it. */
import { get } from './serve.ts'

/**
 * @param origin of the port that serves /metrics
 * @param name of a metric without labels, or with them as they are written
 * @returns NaN where there is no such line
 */
export async function metric(origin: string, name: string): Promise<number> {
  const text = (await get(`${origin}/metrics`)).body.toString()
  const line = text.split('\n').find((line) => line.startsWith(`${name} `))
  return Number(line?.slice(name.length + 1))
}

#!/usr/bin/env node
/**
 * Asks a running Prometheus every query of the dashboards and of the alert rules, and tells those without data.
 *   node scripts/check-dashboards.mjs http://127.0.0.1:9090
 * The service should be under some load, and have been scraped for a minute.
 */
import { readdirSync, readFileSync } from 'node:fs'

const [base] = process.argv.slice(2)
if (base === undefined || !URL.canParse(base)) {
  process.stderr.write('usage: check-dashboards.mjs PROMETHEUS_URL\n')
  process.exit(2)
}

const folder = new URL('../deploy/grafana/dashboards/', import.meta.url)
const queries = readdirSync(folder).flatMap((name) => {
  const { panels } = JSON.parse(readFileSync(new URL(name, folder), 'utf8'))
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ of: `panel ${title}`, query: concrete(expr) }))
  )
})

const { groups } = await ask('/api/v1/rules')
for (const { rules } of groups) {
  for (const { name, query, health, lastError } of rules) {
    if (health === 'err') throw new Error(`rule ${name}: ${lastError}`)
    // a rule has data only when it fires: what it compares has to have some always
    queries.push({ of: `rule ${name}`, query: query.replace(/ (?:==|>) [\d.]+\s*$/, '') })
  }
}

let failures = 0
for (const { of, query } of queries) {
  const { result } = await ask(`/api/v1/query?query=${encodeURIComponent(query)}`)
  const isEmpty = result.length === 0
  if (isEmpty) failures++
  process.stdout.write(`${isEmpty ? 'NO DATA' : `${result.length} series`.padEnd(9)} ${of}\n`)
  if (isEmpty) process.stdout.write(`          ${query.replace(/\s+/g, ' ')}\n`)
}
process.stdout.write(`${queries.length} queries, ${failures} without data\n`)
process.exitCode = failures === 0 ? 0 : 1

/** A query as Grafana sends it, with its variables filled in. */
function concrete(expr) {
  return expr.replaceAll('$__rate_interval', '1m').replaceAll('$instance', '.*')
}

async function ask(path) {
  const response = await fetch(new URL(path, base))
  const answer = await response.json()
  if (answer.status !== 'success') throw new Error(`${path}: ${answer.error}`)
  return answer.data
}

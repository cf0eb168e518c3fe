/** What operators are given names only metrics that the service exposes. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { it } from 'node:test'
import { projectFolder } from '../support/project.ts'
import { get, serve, tempFolder } from '../support/serve.ts'

const project = projectFolder

const mentioned =
  /\b(?:http|requests|waiting|process|event_loop|residency|mapped|open|region|mapping|body|buffered|fast_path|range_server|nodejs)_[a-z0-9_]+\b/g

for (const file of [
  'docs/metrics.md',
  'deploy/prometheus/alerts.yml',
  'deploy/grafana/dashboards/range-server.json'
]) {
  it(`every metric in ${file} is exposed`, async (t) => {
    const { opsUrl } = await serve(t, tempFolder(t), ['--ops-port', '0'])
    const { body } = await get(`${opsUrl}/metrics`)
    const types = [...body.toString().matchAll(/^# TYPE (\S+)/gm)]
    const exposed = new Set(types.map(([, name]) => name as string))
    const text = fs.readFileSync(path.join(project, file), 'utf8')
    const names = new Set([...text.matchAll(mentioned)].map(([name]) => name))
    assert.ok(names.size > 5)
    for (const name of names) {
      const family = name.replace(/_(?:bucket|sum|count)$/, '')
      assert.ok(exposed.has(name) || exposed.has(family), name)
    }
  })
}

/** What is deployed agrees with what is built: names, ports, options, files. */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { parse, parseAllDocuments } from 'yaml'
import { readCommand } from '#src/config/command-line.ts'
import { projectFolder } from '../support/project.ts'

const project = projectFolder
const kubernetes = path.join(project, 'deploy', 'kubernetes')

// a manifest, of which a test looks at a few fields
// biome-ignore lint/suspicious/noExplicitAny: typing whole manifests would say nothing about these
type Manifest = any

describe('the Kubernetes manifests', () => {
  const kustomization = parse(read('deploy/kubernetes/kustomization.yaml'))
  const objects: Manifest[] = kustomization.resources.flatMap((name: string) => {
    const documents = parseAllDocuments(fs.readFileSync(path.join(kubernetes, name), 'utf8'))
    return documents.map((document) => {
      assert.deepEqual([...document.errors, ...document.warnings], [], name)
      return document.toJS()
    })
  })
  const find = (kind: string, name: string): Manifest => {
    const found = objects.find((object) => object.kind === kind && object.metadata.name === name)
    assert.ok(found !== undefined, `${kind} ${name}`)
    return found
  }
  const pods = [find('StatefulSet', 'range-server'), find('Deployment', 'balancer')].map(
    ({ spec }) => spec.template.spec
  )

  it('name every file of their folder, and none that is not there', () => {
    const named = [...kustomization.resources, 'haproxy.cfg', 'kustomization.yaml']
    assert.deepEqual(fs.readdirSync(kubernetes).sort(), named.sort())
  })

  it('hold to the restricted pod security standard', () => {
    for (const { securityContext, containers } of pods) {
      assert.equal(securityContext.runAsNonRoot, true)
      assert.equal(securityContext.seccompProfile.type, 'RuntimeDefault')
      for (const container of containers) {
        assert.equal(container.securityContext.allowPrivilegeEscalation, false)
        assert.equal(container.securityContext.readOnlyRootFilesystem, true)
        assert.deepEqual(container.securityContext.capabilities, { drop: ['ALL'] })
        assert.ok(container.resources.requests.memory)
        assert.ok(container.resources.limits.memory)
      }
    }
  })

  it('give options that the service takes', () => {
    const [{ containers }] = pods
    const env = Object.fromEntries(
      containers[0].env.map(({ name, value }: Manifest) => [name, value])
    )
    const command = readCommand([], env, '0.0.0')
    assert.ok(command.kind === 'serve')
    assert.equal(command.config.opsPort, 9464)
    const graceMs = pods[0].terminationGracePeriodSeconds * 1000
    assert.ok(graceMs > command.config.shutdownTimeoutMs + 5000, 'time to drain')
  })

  it('probe and expose ports that exist', () => {
    for (const { containers } of pods) {
      const names = containers[0].ports.map(({ name }: Manifest) => name)
      assert.ok(names.includes(containers[0].livenessProbe.httpGet.port))
      assert.ok(names.includes(containers[0].readinessProbe.httpGet.port))
    }
    for (const name of ['files', 'replicas']) {
      const service = find('Service', name)
      const { component } = { component: service.spec.selector['app.kubernetes.io/component'] }
      const pod = component === 'replica' ? pods[0] : pods[1]
      const ports = pod.containers[0].ports.map(({ name: port }: Manifest) => port)
      for (const port of service.spec.ports) assert.ok(ports.includes(port.targetPort), name)
    }
  })

  it('have a place on the hash ring for each replica that there may be', () => {
    const { maxReplicas } = find('HorizontalPodAutoscaler', 'range-server').spec
    const servers = [
      ...read('deploy/kubernetes/haproxy.cfg').matchAll(/^ {2}server (\S+) (\S+) id (\d+)$/gm)
    ]
    assert.equal(servers.length, maxReplicas)
    for (const [i, [, name, address, id]] of servers.entries()) {
      assert.equal(name, `range-server-${i}`)
      assert.equal(address, `${name}.replicas.${kustomization.namespace}.svc.cluster.local:8080`)
      assert.equal(Number(id), i + 1)
    }
  })

  it('balance as the delivered haproxy.cfg does', () => {
    const settings = (file: string) =>
      read(file)
        .split('\n')
        .filter((line) => !/^\s*(#|server )/.test(line) && line.trim() !== '')
    assert.deepEqual(
      settings('deploy/kubernetes/haproxy.cfg'),
      settings('deploy/haproxy/haproxy.cfg')
    )
  })
})

describe('the compose file', () => {
  const compose = parse(read('docker-compose.yml'), { merge: true })
  const services: Record<string, Manifest> = compose.services

  it('mounts files that are there', () => {
    for (const [name, service] of Object.entries(services)) {
      for (const volume of service.volumes ?? []) {
        const [source] = volume.replace(/^\$\{\w+:-(.*?)\}/, '$1').split(':')
        if (!source.startsWith('./') || source === './results') continue
        assert.ok(fs.existsSync(path.join(project, source)), `${name}: ${source}`)
      }
    }
  })

  it('pins the version of every image', () => {
    for (const [name, service] of Object.entries(services)) {
      assert.match(service.image, /:(v?\d+\.\d+\.\d+|local)$/, name)
    }
  })

  it('gives options that the service takes', () => {
    for (const [name, { environment, image }] of Object.entries(services)) {
      if (!image.startsWith('mmap-range-server')) continue
      assert.equal(readCommand([], environment ?? {}, '0.0.0').kind, 'serve', name)
    }
  })

  it('has the replicas of haproxy.cfg', () => {
    const servers = [...read('deploy/haproxy/haproxy.cfg').matchAll(/^ {2}server (\S+)/gm)]
    assert.equal(servers.length, 3)
    for (const [, name] of servers) assert.ok(services[name as string], name)
  })

  it('lets Prometheus find the service', () => {
    const [job] = parse(read('deploy/prometheus/prometheus.yml')).scrape_configs
    const [host, port] = job.static_configs[0].targets[0].split(':')
    assert.equal(services[host].environment.OPS_PORT, port)
  })
})

it('the systemd unit gives options that the service takes', () => {
  const [, words] =
    /^Environment=(.*)$/m.exec(read('deploy/systemd/mmap-range-server.service')) ?? []
  const env = Object.fromEntries((words ?? '').split(' ').map((word) => word.split('=')))
  assert.equal(env.ROOT, '/srv/data')
  assert.equal(readCommand([], { ...env, ROOT: project }, '0.0.0').kind, 'serve')
})

function read(file: string): string {
  return fs.readFileSync(path.join(project, file), 'utf8')
}

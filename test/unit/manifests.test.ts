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

  it('let only the load balancer and Prometheus ask the ops port, and only Prometheus the page of HAProxy', () => {
    const policies = objects.filter(({ kind }) => kind === 'NetworkPolicy')
    const all = policies.find(({ spec }) => Object.keys(spec.podSelector).length === 0)
    assert.deepEqual(all.spec, { podSelector: {}, policyTypes: ['Ingress', 'Egress'] })
    /** who may connect to a port of a component: labels, or `anybody` */
    const callers = (component: string, port: number) =>
      policies
        .filter(({ spec }) => labelOf(spec.podSelector) === component)
        .flatMap(({ spec }) => spec.ingress)
        .filter(({ ports }) => ports.some((each: Manifest) => each.port === port))
        .flatMap(({ from }) => from?.map(callerOf) ?? ['anybody'])
    assert.deepEqual(callers('replica', 8080), ['balancer'])
    assert.deepEqual(callers('replica', 9464), ['balancer', 'namespace monitoring'])
    assert.deepEqual(callers('balancer', 8080), ['anybody'])
    assert.deepEqual(callers('balancer', 8404), ['namespace monitoring'])
    // the load balancer can reach what it balances, and the names of it
    const egress = policies.find(({ metadata }) => metadata.name === 'balancer').spec.egress
    assert.deepEqual(
      egress.flatMap(({ ports }: Manifest) => ports.map(({ port }: Manifest) => port)),
      [8080, 9464, 53, 53]
    )
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
    assert.equal(services[host].image, 'mmap-range-server:local')
    assert.equal(imageEnv().OPS_PORT, port)
  })

  it('publishes every port on loopback only', () => {
    const published = Object.values(services).flatMap(({ ports }) => ports ?? [])
    assert.ok(published.includes('127.0.0.1:9464:9464'))
    for (const port of published) assert.match(port, /^127\.0\.0\.1:/)
  })

  it('gives Grafana no account, and who is not logged in may only look', () => {
    const { environment } = services.grafana as Manifest
    const wanted = {
      GF_AUTH_ANONYMOUS_ORG_ROLE: 'Viewer',
      GF_USERS_VIEWERS_CAN_EDIT: 'false',
      GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION: 'true',
      GF_AUTH_DISABLE_LOGIN_FORM: 'true',
      GF_AUTH_BASIC_ENABLED: 'false',
      GF_USERS_ALLOW_SIGN_UP: 'false',
      // one that anybody makes can be read by who has its link
      GF_SNAPSHOTS_ENABLED: 'false',
      // against DNS rebinding
      GF_SERVER_DOMAIN: '127.0.0.1',
      GF_SERVER_ENFORCE_DOMAIN: 'true'
    }
    for (const [name, value] of Object.entries(wanted)) assert.equal(environment[name], value, name)
    assert.deepEqual((services.grafana as Manifest).ports, ['127.0.0.1:3000:3000'])
    // a data source or dashboard that could be changed would let Grafana ask whatever server it can reach
    const folder = 'deploy/grafana/provisioning'
    const [source] = parse(read(`${folder}/datasources/prometheus.yml`)).datasources
    assert.notEqual(source.editable, true)
    const [provider] = parse(read(`${folder}/dashboards/dashboards.yml`)).providers
    assert.notEqual(provider.allowUiUpdates, true)
  })

  it('gives Prometheus no route that changes it', () => {
    const { command = [] } = services.prometheus as Manifest
    assert.ok(
      !command.some((word: string) => /enable-(lifecycle|admin-api)|remote-write/.test(word))
    )
  })
})

describe('the image', () => {
  it('gives options that the service takes, and exposes their ports', () => {
    const env = imageEnv()
    assert.equal(env.OPS_HOST, '0.0.0.0')
    assert.equal(env.OPS_PORT, '9464')
    assert.equal(readCommand([], { ...env, ROOT: project }, '0.0.0').kind, 'serve')
    assert.deepEqual(/^EXPOSE (.*)$/m.exec(read('Dockerfile'))?.[1]?.split(' '), [
      env.PORT,
      env.OPS_PORT
    ])
  })

  it('begins with exact versions of its base images', () => {
    const dockerfile = read('Dockerfile')
    for (const [, image = ''] of dockerfile.matchAll(/^FROM (\S+)/gm)) {
      const argument = /^\$\{(\w+)\}$/.exec(image)?.[1]
      if (argument === undefined) {
        const isStage = new RegExp(`^FROM \\S+ AS ${image}$`, 'm').test(dockerfile)
        assert.ok(image === 'scratch' || isStage, image)
      } else {
        assert.match(dockerfile, new RegExp(`^ARG ${argument}=node:\\d+\\.\\d+\\.\\d+-`, 'm'))
      }
    }
  })
})

describe('the delivered haproxy.cfg', () => {
  const text = read('deploy/haproxy/haproxy.cfg')

  it('shows its state on loopback unless it is told otherwise, and lets nobody change it', () => {
    const [, ops = ''] = /^frontend ops\n((?: .*\n)+)/m.exec(text) ?? []
    assert.match(ops, /^ {2}bind "\$\{OPS_ADDRESS-127\.0\.0\.1\}:8404"$/m)
    assert.match(ops, /^ {2}http-request deny deny_status 405 unless METH_GET or METH_HEAD$/m)
    for (const name of ['haproxy', 'edge']) {
      // neither buttons on the page nor a socket that takes commands
      assert.doesNotMatch(read(`deploy/haproxy/${name}.cfg`), /^ *stats (admin|socket)/m)
    }
  })
})

it('the systemd unit gives options that the service takes', () => {
  const [, words] =
    /^Environment=(.*)$/m.exec(read('deploy/systemd/mmap-range-server.service')) ?? []
  const env = Object.fromEntries((words ?? '').split(' ').map((word) => word.split('=')))
  assert.equal(env.ROOT, '/srv/data')
  assert.equal(env.HOST, '127.0.0.1')
  assert.equal(env.OPS_HOST, '127.0.0.1')
  assert.equal(readCommand([], { ...env, ROOT: project }, '0.0.0').kind, 'serve')
})

/** Variables that the image sets. */
function imageEnv(): Record<string, string> {
  const words = [...read('Dockerfile').matchAll(/^ENV (.*)$/gm)].flatMap(([, line = '']) =>
    line.split(' ').map((word) => word.split('=') as [string, string])
  )
  return Object.fromEntries(words)
}

function labelOf(selector: Manifest): string | undefined {
  return selector.matchLabels?.['app.kubernetes.io/component']
}

function callerOf({ podSelector, namespaceSelector }: Manifest): string {
  const namespace = namespaceSelector?.matchLabels['kubernetes.io/metadata.name']
  return namespace === undefined ? String(labelOf(podSelector)) : `namespace ${namespace}`
}

function read(file: string): string {
  return fs.readFileSync(path.join(project, file), 'utf8')
}

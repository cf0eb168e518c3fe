// Checks deploy/kubernetes against the schemas of Kubernetes and of the Prometheus operator. Needs kubectl, which
// puts the manifests together, and the schemas, which are too large to be installed with the project:
//   npm install --no-save kubernetes-models @kubernetes-models/prometheus-operator
//   node scripts/check-kubernetes.mjs [FOLDER, deploy/kubernetes]
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseAllDocuments } from 'yaml'

const project = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const folder = process.argv[2] ?? path.join(project, 'deploy/kubernetes')
const { status, stdout, stderr } = spawnSync('kubectl', ['kustomize', folder], { encoding: 'utf8' })
if (status !== 0) {
  console.error(stderr || 'kubectl is not on PATH')
  process.exit(1)
}
let failures = 0
for (const document of parseAllDocuments(stdout)) {
  const object = document.toJS()
  const name = `${object.kind} ${object.metadata.name}`
  try {
    const Model = await model(object)
    new Model(object).validate()
    console.log(`ok    ${name}`)
  } catch (error) {
    failures++
    console.log(`FAIL  ${name}: ${error.message}`)
  }
}
process.exit(failures === 0 ? 0 : 1)

async function model({ apiVersion, kind }) {
  const isOperator = apiVersion.startsWith('monitoring.coreos.com/')
  const home = isOperator ? '@kubernetes-models/prometheus-operator' : 'kubernetes-models'
  return (await import(`${home}/${apiVersion}/${kind}`))[kind]
}

/** A key and a certificate for 127.0.0.1, made by openssl; undefined where there is none. */
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { type Lifetime, tempFolder } from './serve.ts'

export function certificate(t: Lifetime): { key: Buffer; cert: Buffer } | undefined {
  const folder = tempFolder(t)
  const [key, cert] = [path.join(folder, 'key.pem'), path.join(folder, 'cert.pem')]
  const kind = '-x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'
  const subject = ['-subj', '/CN=test', '-addext', 'subjectAltName=IP:127.0.0.1']
  const words = ['req', ...kind.split(' '), '-keyout', key, '-out', cert, ...subject]
  if (spawnSync('openssl', words).status !== 0) return undefined
  return { key: fs.readFileSync(key), cert: fs.readFileSync(cert) }
}

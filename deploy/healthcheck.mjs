// The HEALTHCHECK of the image, which has no curl: exit status 0 while /healthz answers 200. It knows hosts and ports
// from the environment; who sets them by flags must set the variables as well.
const { HOST, PORT, OPS_HOST, OPS_PORT } = process.env
const hasOpsPort = OPS_PORT && OPS_PORT !== 'none'
const host = hasOpsPort ? OPS_HOST : HOST
const port = hasOpsPort ? OPS_PORT : PORT || '8080'
// what listens on all addresses is asked on loopback
const isAny = !host || host === '0.0.0.0' || host === '::'
const name = isAny ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host
try {
  const answer = await fetch(`http://${name}:${port}/healthz`, {
    signal: AbortSignal.timeout(2000)
  })
  process.exitCode = answer.ok ? 0 : 1
} catch (error) {
  console.error(String(error.cause ?? error))
  process.exitCode = 1
}

// The HEALTHCHECK of the image, which has no curl: exit status 0 while /healthz answers 200. It knows the ports
// from the environment; who sets them by flags must set PORT or OPS_PORT as well.
const { PORT = '8080', OPS_PORT } = process.env
const port = OPS_PORT && OPS_PORT !== 'none' ? OPS_PORT : PORT
try {
  const answer = await fetch(`http://127.0.0.1:${port}/healthz`, {
    signal: AbortSignal.timeout(2000)
  })
  process.exitCode = answer.ok ? 0 : 1
} catch (error) {
  console.error(String(error.cause ?? error))
  process.exitCode = 1
}

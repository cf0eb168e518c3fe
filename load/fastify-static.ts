/** A peer: what most people would write. Arguments: root, port. */
import fastifyStatic from '@fastify/static'
import fastify from 'fastify'

const [root = '.', port = '0'] = process.argv.slice(2)
const app = fastify()
app.register(fastifyStatic, { root })
app.listen({ host: '127.0.0.1', port: Number(port) }).catch((error: Error) => {
  process.stderr.write(`${error.message}\n`)
  process.exit(1)
})

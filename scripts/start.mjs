// `npm start`: the service with an ops port, for which nothing has to be set. Words behind `npm start --` are options.
import net from 'node:net'

const usualPort = 9464

/** Without an answer to the contrary the service itself would say that the port is taken, and end. */
function isFree(port) {
  return new Promise((resolve) => {
    const trial = net.createServer()
    trial.once('error', () => resolve(false))
    trial.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      trial.close(() => resolve(true))
    })
  })
}

// Workers run this file as well, with the variable that their parent has set.
process.env.OPS_PORT ||= (await isFree(usualPort)) ? `${usualPort}` : '0'
await import('../dist/main.js')

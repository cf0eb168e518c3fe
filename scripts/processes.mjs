/** What the scripts that try or measure running programs share: ports, processes, requests, and what was claimed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'

const children = new Set()
let failedClaims = 0

/** @returns the child; killed by stopAll, if it does not end before */
export function start(command, args, options = {}) {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options })
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

export function stopAll() {
  for (const child of children) child.kill('SIGKILL')
}

/** A port on 127.0.0.1 that nobody listens on at this moment. */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

/** @throws Error after 20 s */
export async function until(holds) {
  const endMs = performance.now() + 20_000
  while (!(await holds())) {
    if (performance.now() > endMs) throw new Error('waited 20 s in vain')
    await sleep(50)
  }
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/**
 * @param ask http.request or https.request
 * @returns undefined when the connection failed or the body broke off
 */
export function request(url, options = {}, ask = http.request) {
  return new Promise((resolve) => {
    const asked = ask(url, { agent: false, timeout: 10_000, ...options }, (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.on('error', () => resolve(undefined))
      response.on('end', () =>
        resolve({
          status: response.statusCode,
          headers: response.headers,
          body: Buffer.concat(chunks)
        })
      )
    })
    asked.on('timeout', () => asked.destroy())
    asked.on('error', () => resolve(undefined))
    asked.end()
  })
}

/** Print whether something held; exitStatus tells whether all did. */
export function claim(text, holds, details) {
  if (!holds) failedClaims++
  console.log(`${holds ? 'ok  ' : 'FAIL'}  ${text}${details === undefined ? '' : `: ${details}`}`)
}

export function exitStatus() {
  return failedClaims === 0 ? 0 : 1
}

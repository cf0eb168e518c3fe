/**
 * Answers that nobody reads: a connection costs one window, whatever it has asked for, all connections together
 * cost no more than the budget of copied windows, and others are served meanwhile.
 */
import assert from 'node:assert/strict'
import fs from 'node:fs'
import http from 'node:http'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { contentOf } from '../support/contents.ts'
import { memory } from '../support/kernel-view.ts'
import { RawClient, requestText, smallBuffers } from '../support/raw-client.ts'
import {
  get,
  type Lifetime,
  type Serving,
  serve,
  suiteLifetime,
  tempFolder,
  until
} from '../support/serve.ts'
import { nobody, unprivileged } from '../support/unprivileged.ts'

const KiB = 1024
const MiB = 1024 * KiB
const largeBytes = 64 * MiB
const hotBytes = 64 * KiB
/** of anonymous memory, while the answers wait */
const mostGrowth = 64 * MiB
/** of anonymous memory, when their connections are gone: what the collector may keep for later */
const mostLeft = 24 * MiB
const mostHotMs = 2000

/** A range of a 64 MiB file, the n-th of its length, around and around. */
function rangeRequest(n: number, length: number): string {
  const start = (n * length) % largeBytes
  return requestText('/files/large', { Range: `bytes=${start}-${start + length - 1}` })
}

interface Load {
  readonly connections: number
  /** of each connection */
  readonly requests: string
  /** bytes of the first answer of each, from the beginning of the file */
  readonly firstBytes: number
}

const loads: Readonly<Record<string, Load>> = {
  '200 pipelined ranges of 1 MiB on one connection': {
    connections: 1,
    requests: Array.from({ length: 200 }, (_, n) => rangeRequest(n, MiB)).join(''),
    firstBytes: MiB
  },
  '1,500 pipelined ranges of 64 KiB on one connection': {
    connections: 1,
    requests: Array.from({ length: 1500 }, (_, n) => rangeRequest(n, 64 * KiB)).join(''),
    firstBytes: 64 * KiB
  },
  '100 connections that want 1 MiB': {
    connections: 100,
    requests: rangeRequest(0, MiB),
    firstBytes: MiB
  },
  '100 connections that want 64 MiB': {
    connections: 100,
    requests: requestText('/files/large'),
    firstBytes: largeBytes
  }
}

for (const { name, mode, user } of [
  { name: 'mmap', mode: 'mmap', user: {} },
  { name: 'read', mode: 'read', user: {} },
  { name: 'mmap, files of another user', mode: 'mmap', user: nobody }
]) {
  describe(`answers that nobody reads, ${name}`, () => {
    const lifetime = suiteLifetime()
    let started: Promise<Warm> | undefined
    for (const [load, { connections, requests, firstBytes }] of Object.entries(loads)) {
      it(load, { timeout: 60_000 }, async (t) => {
        if ('uid' in user && unprivileged(t) === undefined) return
        started ??= serveWarm(lifetime, mode, user)
        // measured once: what one load leaves behind counts against the next
        const { server, before } = await started
        let most = before
        const look = () => {
          most = Math.max(most, memory('RssAnon', server.pid))
        }
        const clients = Array.from({ length: connections }, () =>
          RawClient.connect(t, server.origin, smallBuffers)
        )
        for (const client of clients) client.send(requests)
        let slowestMs = 0
        const endMs = performance.now() + 700
        while (performance.now() < endMs) {
          look()
          slowestMs = Math.max(slowestMs, await getHot(server))
          await wait(10)
        }
        look()
        tell(t, { grownMiB: inMiB(most - before), hotMs: Math.round(slowestMs) })
        assert.ok(most - before < mostGrowth, `${inMiB(most - before)} MiB more`)
        assert.ok(slowestMs < mostHotMs, `a hot request took ${slowestMs} ms`)
        // and who reads in the end gets what was asked for
        const [reader] = clients as [RawClient]
        const head = await reader.head()
        assert.equal(head?.contentLength, firstBytes)
        reader.widen()
        const body = await reader.read(Math.min(firstBytes, 4 * MiB))
        assert.ok(body.equals(contentOf(0, 0, body.length)) && body.length >= 64 * KiB)
        for (const client of clients) client.reset()
        let left = Number.POSITIVE_INFINITY
        await until(
          'its memory is given back',
          async () => {
            // a process that does nothing collects nothing
            await getHot(server)
            left = Math.min(left, memory('RssAnon', server.pid) - before)
            return left <= mostLeft
          },
          15_000
        ).catch(() => assert.fail(`${inMiB(left)} MiB are left`))
      })
    }
  })
}

interface Warm {
  readonly server: Serving
  /** bytes of anonymous memory */
  readonly before: number
}

/** A server that has served, so that its heap has the size that serving takes. */
async function serveWarm(
  t: Lifetime,
  mode: string,
  user: { readonly uid?: number; readonly gid?: number }
): Promise<Warm> {
  const root = tempFolder(t)
  fs.chmodSync(root, 0o755)
  fs.writeFileSync(join(root, 'large'), contentOf(0, 0, largeBytes))
  fs.writeFileSync(join(root, 'hot'), contentOf(1, 0, hotBytes))
  const minuteAgo = Date.now() / 1000 - 60
  for (const file of ['large', 'hot']) fs.utimesSync(join(root, file), minuteAgo, minuteAgo)
  const server = await serve(t, root, ['--mode', mode, '--log-level', 'info'], user)
  const agent = new http.Agent({ keepAlive: true, maxSockets: 16 })
  for (let n = 0; n < 2; n++) {
    await Promise.all(Array.from({ length: 400 }, () => getHot(server, agent)))
    await get(`${server.url}large`, { agent })
  }
  agent.destroy()
  return { server, before: memory('RssAnon', server.pid) }
}

/** @returns milliseconds */
async function getHot(server: Serving, agent?: http.Agent): Promise<number> {
  const startedAtMs = performance.now()
  const headers = { range: 'bytes=1000-4999' }
  const answer = await get(`${server.url}hot`, { headers, ...(agent && { agent }) })
  assert.equal(answer.status, 206)
  assert.ok(answer.body.equals(contentOf(1, 1000, 5000)))
  return performance.now() - startedAtMs
}

function inMiB(bytes: number): number {
  return Math.round(bytes / MiB)
}

function tell(t: TestContext, figures: Readonly<Record<string, number>>): void {
  t.diagnostic(JSON.stringify(figures))
}

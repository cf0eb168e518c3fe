/** The harness as a user runs it: a short run, and all that may go wrong. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { describe, it } from 'node:test'
import { projectFolder } from '../support/project.ts'
import { type Lifetime, tempFolder, until } from '../support/serve.ts'

const harness = path.join(projectFolder, 'dist', 'load', 'main.js')
const fileBytes = 2 * 2 ** 20

function start(args: string[]) {
  const child = spawn(process.execPath, [harness, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const seen = { out: '', err: '' }
  child.stdout.on('data', (chunk) => {
    seen.out += chunk
  })
  child.stderr.on('data', (chunk) => {
    seen.err += chunk
  })
  return { child, seen, ended: once(child, 'close').then(([status]) => status as number) }
}

async function run(...args: string[]) {
  const { seen, ended } = start(args)
  return { status: await ended, ...seen }
}

function randomFile(folder: string): string {
  const file = path.join(folder, 'own.bin')
  fs.writeFileSync(file, randomFillSync(Buffer.alloc(fileBytes)))
  return file
}

/** A server of one file that can be made to misbehave. */
async function serveFile(
  t: Lifetime,
  answer: (first: number, last: number, response: http.ServerResponse) => void
) {
  const server = http.createServer((request, response) => {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? []
    // such as the harness's look for metrics
    if (first === undefined && request.url !== '/own.bin') response.writeHead(404).end()
    else answer(Number(first), Number(last), response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/own.bin` }
}

function partial(response: http.ServerResponse, first: number, last: number, body: Buffer): void {
  response.writeHead(206, {
    'content-range': `bytes ${first}-${last}/${fileBytes}`,
    'content-length': body.length
  })
  response.end(body)
}

describe('npm run load', () => {
  it('measures, compares bytes, proves the cache, writes the report, leaves nothing', async (t) => {
    const folder = tempFolder(t)
    const file = randomFile(folder)
    const [data, out, docs] = ['data', 'out', 'docs'].map((name) => path.join(folder, name)) as [
      string,
      string,
      string
    ]
    fs.mkdirSync(data)
    fs.mkdirSync(docs)
    const { status, err } = await run(
      ...['--scenario', 'hot-4k', '--mode', 'mmap', '--mode', 'read', '--rounds', '1'],
      ...['--seconds', '1', '--file', file, '--data', data, '--out', out, '--docs', docs]
    )
    assert.equal(status, 0, err)
    assert.deepEqual(fs.readdirSync(data), [], 'data is removed')
    assert.equal(fs.statSync(file).size, fileBytes, 'the file of the user is not')
    const { trials, machine } = JSON.parse(fs.readFileSync(path.join(out, 'results.json'), 'utf8'))
    assert.equal(machine.node, process.version)
    assert.deepEqual(
      trials.map(({ mode }: { mode: string }) => mode),
      ['mmap', 'read']
    )
    for (const { result, used, residentShareBefore, mode } of trials) {
      assert.ok(result.requests > 0 && result.samplesCompared > 0)
      assert.equal(result.failures + result.wrongBytes, 0)
      assert.equal(residentShareBefore, 1)
      assert.equal(used.mappedBodyBytes > 0, mode === 'mmap')
    }
    const page = fs.readFileSync(path.join(out, 'report.html'), 'utf8')
    assert.doesNotMatch(page.replaceAll(/<script>[\s\S]*?<\/script>/g, ''), /(src|href)=/)
    assert.match(fs.readFileSync(path.join(docs, 'results.md'), 'utf8'), /^\| mmap \|/m)
    assert.match(fs.readFileSync(path.join(docs, 'results', 'latency-hot-4k.svg'), 'utf8'), /^<svg/)
  })

  it('what is cold is asked for once, so that nothing of it is hot when it is measured', async (t) => {
    const folder = tempFolder(t)
    const { status, err } = await run(
      ...['--scenario', 'cold-64k', '--mode', 'read', '--rounds', '1', '--seconds', '1'],
      ...['--file', randomFile(folder), '--data', folder, '--out', path.join(folder, 'out')]
    )
    assert.equal(status, 0, err)
    const results = fs.readFileSync(path.join(folder, 'out', 'results.json'), 'utf8')
    const [{ result, residentShareBefore }] = JSON.parse(results).trials
    const { requests, requestsWithWarmUp, bytes, failures } = result
    assert.deepEqual(
      { residentShareBefore, requests, requestsWithWarmUp, failures },
      { residentShareBefore: 0, requests: 32, requestsWithWarmUp: 32, failures: 0 }
    )
    assert.ok(bytes >= fileBytes, 'with their heads')
  })

  it('--help lists scenarios and settings', async () => {
    const { status, out } = await run('--help')
    assert.equal(status, 0)
    for (const word of ['--quick', '--url', 'hot-4k', 'stall', 'truncate', 'mmap-unguarded']) {
      assert.ok(out.includes(word), word)
    }
  })

  it('an option that cannot be used: one line, exit status 2', async () => {
    const { status, err } = await run('--rounds', '0')
    assert.equal(status, 2)
    assert.equal(err.trimEnd(), '--rounds 0: it may be a whole number from 1 to 100')
  })

  it('a server that is not there, or does not serve ranges: one line, exit status 1', async (t) => {
    const { url, server } = await serveFile(t, (_first, _last, response) => response.end('whole'))
    const noRanges = await run('--url', url)
    assert.equal(noRanges.status, 1)
    assert.equal(noRanges.err.trimEnd(), `--url ${url}: this server does not serve ranges`)
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
    const gone = await run('--url', url)
    assert.equal(gone.status, 1)
    assert.equal(gone.err.trimEnd(), `--url ${url}: no answer (ECONNREFUSED)`)
  })

  it('wrong bytes of the right length fail the run', async (t) => {
    const folder = tempFolder(t)
    const { url } = await serveFile(t, (first, last, response) =>
      partial(response, first, last, Buffer.alloc(last - first + 1))
    )
    const short = ['--scenario', 'hot-4k', '--rounds', '1', '--seconds', '1']
    const { status, err } = await run(
      ...short,
      ...['--url', url, '--file', randomFile(folder), '--out', folder]
    )
    assert.equal(status, 1)
    assert.match(err, /^WRONG BYTES: hot-4k/m)
  })

  it('answers that break off are failures', async (t) => {
    const folder = tempFolder(t)
    let answers = 0
    const { url } = await serveFile(t, (first, last, response) => {
      // some are right, so that it is measured at all
      if (++answers % 4 !== 0) {
        partial(response, first, last, Buffer.alloc(last - first + 1))
        return
      }
      response.writeHead(206, { 'content-length': last - first + 1 })
      response.write('x')
      response.socket?.end()
    })
    await run(
      ...['--scenario', 'one-connection', '--rounds', '1', '--seconds', '1'],
      ...['--url', url, '--out', folder]
    )
    const { trials } = JSON.parse(fs.readFileSync(path.join(folder, 'results.json'), 'utf8'))
    const { failures, requestsWithWarmUp } = trials[0].result
    assert.ok(failures > 10 && failures <= requestsWithWarmUp, `${failures}`)
  })

  it('a server that dies: one line, exit status 1, results so far kept', async (t) => {
    const folder = tempFolder(t)
    const { url, server } = await serveFile(t, (first, last, response) =>
      partial(response, first, last, Buffer.alloc(last - first + 1))
    )
    const { seen, ended } = start([
      ...['--scenario', 'hot-4k', '--scenario', 'hot-64k', '--rounds', '1', '--seconds', '1'],
      ...['--url', url, '--out', folder]
    ])
    await until('the second trial', () => seen.err.includes('2/2'))
    server.close()
    server.closeAllConnections()
    assert.equal(await ended, 1)
    assert.match(seen.err, /^127\.0\.0\.1:\d+ answers no more$/m)
    const { trials } = JSON.parse(fs.readFileSync(path.join(folder, 'results.json'), 'utf8'))
    assert.equal(trials.length, 1)
  })

  it('Ctrl-C: nothing is left running, data is removed', async (t) => {
    const folder = tempFolder(t)
    const file = randomFile(tempFolder(t))
    const { child, seen, ended } = start([
      ...['--scenario', 'hot-4k', '--seconds', '60', '--file', file],
      ...['--data', folder, '--out', path.join(folder, 'out')]
    ])
    await until('the server runs', () => processesWith(folder).length > 1)
    // npm passes on what the terminal has sent already
    child.kill('SIGINT')
    child.kill('SIGINT')
    assert.equal(await ended, 130)
    assert.match(seen.err, /stopped; nothing is left running/)
    await until('nothing runs', () => processesWith(folder).length === 0)
    assert.deepEqual(fs.readdirSync(folder), [])
  })
})

/** Processes whose command line has the text. */
function processesWith(text: string): string[] {
  return fs.readdirSync('/proc').filter((entry) => {
    try {
      return /^\d+$/.test(entry) && fs.readFileSync(`/proc/${entry}/cmdline`, 'utf8').includes(text)
    } catch {
      return false
    }
  })
}

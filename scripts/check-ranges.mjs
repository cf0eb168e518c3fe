// Starts a service and compares what it sends with the file: ranges that are not in memory, and the same ones when they
// are; a truncation under a download; the end by SIGTERM. Root is needed to drop the page cache. Without packages, so
// that it runs on a machine that has nothing else: scripts/check-arm64.sh.
//   node scripts/check-ranges.mjs [path of main.js]
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const MiB = 2 ** 20
const main =
  process.argv[2] ??
  path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'dist', 'main.js')
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'check-ranges-'))
const file = path.join(folder, 'data.bin')
// words that tell where they stand
const content = Buffer.from(Uint32Array.from({ length: 8 * MiB }, (_, i) => i).buffer)
// of single bytes, around the borders of pages of any size, of windows and of the file
const places = [0, 4096, 16_384, 65_536, MiB, 5 * MiB, 31 * MiB]
const ranges = places.flatMap((place) => [
  [place, place + 1],
  [Math.max(place - 3, 0), place + 5],
  [place, Math.min(place + 70_000, content.length)]
])
ranges.push([content.length - 1, content.length], [0, content.length])

for (const mode of ['mmap', 'read']) await check(mode)
fs.rmSync(folder, { recursive: true })

async function check(mode) {
  write()
  const words = `--port 0 --ops-port 0 --mode ${mode} --log-format json`.split(' ')
  // an emulated processor is late, and no request is to be turned away for that
  words.push('--max-event-loop-delay', '0ms')
  const server = spawn(process.execPath, [main, folder, ...words], {
    stdio: ['ignore', 'pipe', 'ignore']
  })
  const lines = createInterface(server.stdout)[Symbol.asyncIterator]()
  const { url, opsUrl, mapper } = JSON.parse((await lines.next()).value)
  fs.writeFileSync('/proc/sys/vm/drop_caches', '3')
  // the second time the kernel has read them
  for (let round = 0; round < 2; round++) for (const range of ranges) await checkRange(url, range)
  const bytes = await metricsOf(opsUrl, 'http_response_body_bytes_total')
  const checks = await metricsOf(opsUrl, 'residency_checks_total')
  assert.ok(bytes.read > 0, 'nothing was read')
  if (mode === 'mmap') {
    assert.ok(bytes.mapped > 0, 'nothing was sent from a mapping')
    assert.ok(checks.resident > 0 && checks.cold > 0, 'one kind of residency was not seen')
  }
  await checkTruncation(url)
  assert.equal((await fetch(`${opsUrl}/healthz`)).status, 200)
  server.kill('SIGTERM')
  assert.deepEqual(await once(server, 'exit'), [0, null])
  console.log(
    `${process.arch}, pages of ${pageBytes()} bytes, ${mode} by ${mode === 'mmap' ? mapper : 'fs.read'}: ` +
      `${2 * ranges.length} ranges are right; bytes ${JSON.stringify(bytes)}, checks ${JSON.stringify(checks)}`
  )
}

function write() {
  const fd = fs.openSync(file, 'w')
  fs.writeSync(fd, content)
  // only what is on the disk can leave the page cache
  fs.fsyncSync(fd)
  fs.closeSync(fd)
}

async function checkRange(url, [start, end]) {
  const answer = await fetch(`${url}data.bin`, { headers: { range: `bytes=${start}-${end - 1}` } })
  assert.equal(answer.status, 206)
  assert.equal(answer.headers.get('content-range'), `bytes ${start}-${end - 1}/${content.length}`)
  const body = Buffer.from(await answer.arrayBuffer())
  assert.ok(body.equals(content.subarray(start, end)), `wrong bytes of ${start}-${end - 1}`)
}

/** A client that stops reading, a file that loses its end, and a body that is cut: never other bytes. */
async function checkTruncation(url) {
  const request = http.get(`${url}data.bin`, { agent: false })
  const [response] = await once(request, 'response')
  // the response fails as well, below
  request.on('error', () => {})
  await once(response, 'readable')
  fs.truncateSync(file, MiB)
  let received = 0
  try {
    for await (const chunk of response) {
      assert.ok(chunk.equals(content.subarray(received, received + chunk.length)))
      received += chunk.length
    }
  } catch (error) {
    assert.equal(error.code, 'ECONNRESET')
  }
  assert.ok(received < content.length, 'a file without its end was sent whole')
}

/** The samples of a metric by the value of their one label. */
async function metricsOf(opsUrl, name) {
  const text = await (await fetch(`${opsUrl}/metrics`)).text()
  const samples = text.matchAll(new RegExp(`^${name}\\{\\w+="(\\w+)"\\} (\\d+)`, 'gm'))
  return Object.fromEntries([...samples].map(([, label, value]) => [label, Number(value)]))
}

function pageBytes() {
  const smaps = fs.readFileSync('/proc/self/smaps', 'utf8')
  return 1024 * Number(/^KernelPageSize: +(\d+) kB$/m.exec(smaps)?.[1])
}

// Tries deploy/nginx/range-server.conf, deploy/haproxy/edge.cfg and deploy/haproxy/haproxy.cfg with a real nginx and a
// real HAProxy on loopback, in front of the service: do ranges pass, is a client over its limit refused and another
// one not, are forged and expired links refused, whose address is forwarded, and can a request be smuggled past?
//   node scripts/check-proxies.mjs
// Needs nginx, haproxy and openssl on PATH (Debian: apt-get install nginx haproxy openssl) and a built project. Exit
// status 1 when a claim fails.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import tls from 'node:tls'
import { fileURLToPath } from 'node:url'
import { claim, exitStatus, freePort, request, sleep, start, stopAll, until } from './processes.mjs'

const project = path.dirname(path.dirname(fileURLToPath(import.meta.url)))
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'check-proxies-'))
// what the recipes allow a client at a time
const maxAtATime = 16
const secret = 'a secret of the tests, long enough'
const user = { name: 'reader', password: 'open sesame' }
const basic = `Basic ${Buffer.from(`${user.name}:${user.password}`).toString('base64')}`
const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 31 + (i >> 8)) & 0xff))
const smuggledText = 'what nobody asked for'

try {
  await main()
} finally {
  stopAll()
  fs.rmSync(folder, { recursive: true, force: true })
}
process.exit(exitStatus())

async function main() {
  for (const tool of ['nginx', 'haproxy', 'openssl']) {
    if (spawnSync(tool, ['-v']).error !== undefined) throw new Error(`${tool} is not on PATH`)
  }
  fs.chmodSync(folder, 0o755)
  const root = path.join(folder, 'root')
  fs.mkdirSync(root)
  fs.writeFileSync(path.join(root, 'a file.bin'), bytes)
  fs.writeFileSync(path.join(root, 'plain.bin'), bytes)
  fs.writeFileSync(path.join(root, 'smuggled'), smuggledText)
  fs.writeFileSync(path.join(root, 'big.bin'), '')
  fs.truncateSync(path.join(root, 'big.bin'), 256 * 2 ** 20)
  makeCertificate()

  const service = { port: await freePort(), opsPort: await freePort() }
  const args = ['--root', root, '--port', `${service.port}`, '--ops-port', `${service.opsPort}`]
  args.push('--access-log', 'on', '--trust-proxy', '127.0.0.1')
  const stdout = fs.openSync(path.join(folder, 'service.log'), 'w')
  const stdio = ['ignore', stdout, 'inherit']
  start(process.execPath, [path.join(project, 'dist/main.js'), ...args], { stdio })
  await until(async () => {
    return (await request(`http://127.0.0.1:${service.opsPort}/readyz`))?.status === 200
  })
  // what the service would be told, told back
  const echo = http
    .createServer((asked, answer) => answer.end(JSON.stringify([asked.url, asked.headers])))
    .listen(0, '127.0.0.1')
  await until(() => echo.listening)

  for (const [file, startEdge] of [
    ['deploy/nginx/range-server.conf', startNginx],
    ['deploy/haproxy/edge.cfg', startHaproxyEdge]
  ]) {
    console.log(`\n${file}`)
    const { port, redirectPort } = await startEdge(service.port)
    const plain = await request(`http://127.0.0.1:${redirectPort}/files/x?y`)
    claim(
      'plain HTTP is sent to TLS',
      plain?.status === 308 && /^https:.*\/files\/x\?y$/.test(plain.headers.location)
    )
    await checkEdge(port)
    await checkAddress((options) =>
      ask(`https://localhost:${port}/files/plain.bin`, withPassword(options))
    )
    const told = await startEdge(echo.address().port)
    await checkForwarding(told.port)
    if (startEdge === startNginx) await checkNetworks(port)
    await checkSmuggling((given) => rawTls(port, given), service, basic)
  }
  echo.close()
  await checkWithoutSecret(service.port)
  console.log('\ndeploy/haproxy/haproxy.cfg')
  const { port, statsPort } = await startHaproxy(service)
  await checkAddress((options) => request(`http://127.0.0.1:${port}/files/plain.bin`, options))
  await checkSmuggling((given) => rawPlain(port, given), service)
  const page = `http://127.0.0.1:${statsPort}/`
  claim('the page can be read', (await request(page))?.status === 200)
  await checkPage(page, `127.0.0.2:${statsPort}`)
}

/** HAProxy's page shows and does not obey, and is on 127.0.0.1 alone. */
async function checkPage(page, elsewhere) {
  const text = (await request(page)).body.toString()
  // one that may be administered has a list of actions; a field to filter by is on every page
  claim('it offers no action', text.includes('replica-1') && !/name=.?action/i.test(text))
  const state = async () =>
    (await request(`${page};csv`)).body
      .toString()
      .split('\n')
      .find((line) => line.startsWith('replicas,replica-1,'))
      ?.split(',')[17]
  const body = 's=replica-1&action=disable&b=%23replicas'
  const head = 'POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close'
  const kind = 'Content-Type: application/x-www-form-urlencoded'
  const order = `${head}\r\n${kind}\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const answer = (await rawPlain(new URL(page).port, order)).toString('latin1')
  claim('an order that is posted is refused', /^HTTP\/1\.1 405 /.test(answer))
  const typed = await request(`${page}?${body}`)
  claim('and one in the query is not obeyed', typed?.status === 200 && (await state()) === 'UP')
  const other = await request(`http://${elsewhere}/`)
  claim('no other address has the page', other === undefined, other?.status)
}

async function checkEdge(port) {
  const origin = `https://localhost:${port}`
  const { headers: password } = withPassword()
  const file = `${origin}/files/a%20file.bin`

  const part = await ask(file, { headers: { ...password, range: 'bytes=1000-1999' } })
  claim(
    'a range passes, by password',
    part?.status === 206 &&
      part.headers['content-range'] === `bytes 1000-1999/${bytes.length}` &&
      part.body.equals(bytes.subarray(1000, 2000)),
    part?.status
  )
  const parts = await ask(file, { headers: { ...password, range: 'bytes=0-9,500-509' } })
  claim(
    'several ranges pass',
    parts?.status === 206 && /^multipart\/byteranges/.test(parts.headers['content-type'])
  )
  const etag = part?.headers.etag ?? 'none'
  const same = await ask(file, { headers: { ...password, 'if-none-match': etag } })
  claim('a validator passes both ways', same?.status === 304)
  const resumed = await ask(file, {
    headers: { ...password, range: 'bytes=99000-', 'if-range': etag }
  })
  claim('and resumes', resumed?.status === 206 && resumed.body.equals(bytes.subarray(99_000)))
  claim('ranges pass over HTTP/2', (await askHttp2(origin)).equals(bytes.subarray(10, 20)))

  const nobody = await ask(file)
  claim('without link and password: 401', nobody?.status === 401, nobody?.status)
  const wrong = `Basic ${Buffer.from(`${user.name}:guess`).toString('base64')}`
  const guessed = await ask(file, { headers: { authorization: wrong } })
  claim('with a wrong password: 401', guessed?.status === 401, guessed?.status)

  const link = sign(file, 3600)
  const linked = await ask(link, { headers: { range: 'bytes=0-99' } })
  claim(
    'a signed link reads a range',
    linked?.status === 206 && linked.body.equals(bytes.subarray(0, 100)),
    linked?.status
  )
  const forgeries = {
    'of another file': link.replace('a%20file', 'plain'),
    'that lasts longer': link.replace(/expires=\d+/, 'expires=9999999999'),
    'with another signature': link.replace(/signature=.{4}/, 'signature=AAAA'),
    'with an empty time': link.replace(/expires=\d+/, 'expires='),
    'with two signatures': link.replace('signature=', 'signature=x&signature='),
    'signed with another secret': sign(file, 3600, 'another secret, as long as the other'),
    'of the same file by another spelling': link.replace('a%20file', '%61%20file'),
    'that leads on': link.replace('a%20file', 'x/../plain')
  }
  for (const [what, forged] of Object.entries(forgeries)) {
    const answer = await ask(forged)
    claim(`a forged link is refused: ${what}`, answer?.status === 403, answer?.status)
  }
  const short = sign(file, 1)
  await sleep(2100)
  const late = await ask(short)
  claim('a link that has expired: 410', late?.status === 410, late?.status)
  const ops = await ask(`${origin}/metrics`, { headers: password })
  claim('nothing but files is behind it', ops?.status === 404, ops?.status)

  const big = `${origin}/files/big.bin`
  const from = (localAddress) => ({ localAddress, headers: password, agent: false })
  const held = []
  // downloads that are begun and not read
  for (let n = 0; n < maxAtATime; n++) held.push(await begin(big, from('127.0.0.1')))
  claim(
    `${maxAtATime} answers at a time are within the limit`,
    held.every(({ status }) => status === 200)
  )
  const over = await ask(file, from('127.0.0.1'))
  claim('one more of the same client: 429', over?.status === 429, over?.status)
  const other = await ask(file, from('127.0.0.2'))
  claim('another client is served meanwhile', other?.status === 200, other?.status)
  for (let n = 1; n < maxAtATime; n++) held.push(await begin(big, from('127.0.0.2')))
  held.push(await begin(big, from('127.0.0.2')))
  const second = await ask(file, from('127.0.0.2'))
  claim('until it is over its own limit: 429', second?.status === 429, second?.status)
  for (const { close } of held) close()
  await until(async () => (await ask(file, from('127.0.0.1')))?.status === 200)
  claim('afterwards the first is served again', true)

  const begun = await begunOverHttp2(origin)
  claim('nor are more at a time over HTTP/2', begun === maxAtATime, `${begun} of 20`)

  const statuses = new Map()
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      const agent = new https.Agent({ keepAlive: true, ca: certificate(), servername: 'localhost' })
      for (let n = 0; n < 125; n++) {
        const answer = await ask(file, { ...from('127.0.0.3'), agent, method: 'HEAD' })
        statuses.set(answer?.status, (statuses.get(answer?.status) ?? 0) + 1)
      }
      agent.destroy()
    })
  )
  claim(
    '1,000 requests at once are too many for one client',
    (statuses.get(429) ?? 0) > 0 && (statuses.get(200) ?? 0) > 0 && statuses.size === 2,
    JSON.stringify([...statuses])
  )
}

/** The access log of the service names the client, and not the proxy or what the client claims to be. */
async function checkAddress(send) {
  const id = `from-${performance.now()}`
  const headers = { 'x-request-id': id, 'x-forwarded-for': '6.6.6.6' }
  await send({ localAddress: '127.0.0.2', agent: false, headers })
  const inLog = () => {
    const lines = fs.readFileSync(path.join(folder, 'service.log'), 'utf8').split('\n')
    return lines.find((line) => line.includes(`"${id}"`))
  }
  await until(() => inLog() !== undefined)
  const { remoteAddress } = JSON.parse(inLog())
  claim(
    'the access log has the address of the client',
    remoteAddress === '127.0.0.2',
    remoteAddress
  )
}

/** HAProxy starts without the variable, so nobody may be able to sign with an empty secret. */
async function checkWithoutSecret(servicePort) {
  const { port } = await startHaproxyEdge(servicePort, '')
  const expires = Math.floor(Date.now() / 1000) + 60
  const signature = createHash('md5').update(` ${expires} /files/plain.bin `).digest('base64url')
  const link = `https://localhost:${port}/files/plain.bin?expires=${expires}&signature=${signature}`
  const answer = await ask(link)
  claim('without a secret no link is valid', answer?.status === 403, answer?.status)
}

/** Whether addresses of one IPv6 network count as one client; nginx of this script believes X-Test-Address. */
async function checkNetworks(port) {
  const from = (address) => ({ agent: false, headers: { 'x-test-address': address } })
  const link = (name) => sign(`https://localhost:${port}/files/${name}`, 60)
  const held = []
  for (let n = 1; n <= maxAtATime; n++) {
    held.push(await begin(link('big.bin'), from(`2001:db8::a:${n}`)))
  }
  const same = await ask(link('plain.bin'), from('2001:db8:0:0:ffff::1'))
  const other = await ask(link('plain.bin'), from('2001:db8:0:1::1'))
  for (const { close } of held) close()
  claim(
    'an IPv6 network of 64 bits is one client',
    same?.status === 429 && other?.status === 200,
    `${same?.status}, another network ${other?.status}`
  )
}

/** In front of a server that tells what it is told. */
async function checkForwarding(port) {
  const url = `https://localhost:${port}/files/plain.bin`
  const claimed = {
    'x-forwarded-for': '6.6.6.6',
    'x-forwarded-proto': 'gopher',
    range: 'bytes=0-1'
  }
  const answer = await ask(sign(url, 60), { headers: { ...claimed, authorization: basic } })
  const [target, headers] = JSON.parse(answer?.body.toString() || '["",{}]')
  claim(
    "the client's address is forwarded, and not what it claims",
    headers['x-forwarded-for'] === '127.0.0.1' && headers['x-forwarded-proto'] === 'https',
    headers['x-forwarded-for']
  )
  claim(
    'no signature and no password goes further',
    target === '/files/plain.bin' && headers.authorization === undefined,
    target
  )
  claim('the range does', headers.range === 'bytes=0-1')
}

/**
 * Requests whose end two readers may see in different places, because what may be their body is another request. If
 * the proxy takes that for a second request, the client gets its answer, as it may. If only the service does, its
 * answer goes to somebody else or to nobody. So the next client must get what it asked for, and the service must have
 * sent as many bytes as all clients together got.
 */
async function checkSmuggling(send, { opsPort }, authorization) {
  const own = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`
  const inner = `GET /files/smuggled HTTP/1.1\r\nHost: localhost\r\n${own}\r\n`
  const chunked = `0\r\n\r\n${inner}`
  const cases = [
    [`Content-Length: ${chunked.length}\r\nTransfer-Encoding: chunked`, chunked],
    [`Transfer-Encoding: chunked\r\nContent-Length: ${chunked.length}`, chunked],
    [`Content-Length: 0\r\nTransfer-Encoding: chunked`, chunked],
    [`Content-Length: ${chunked.length}\r\nTransfer-Encoding : chunked`, chunked],
    [`Content-Length: ${chunked.length}\r\nTransfer-Encoding: xchunked`, chunked],
    [`Content-Length: ${chunked.length}\r\nTransfer-Encoding:\tchunked`, chunked],
    [`Content-Length: ${chunked.length}\r\nTransfer-Encoding: \x0bchunked`, chunked],
    [`Content-Length: ${chunked.length}\r\nX: y\r\n Transfer-Encoding: chunked`, chunked],
    [`Content-Length: ${chunked.length}\r\nX: y\nTransfer-Encoding: chunked`, chunked],
    [`Transfer-Encoding: chunked\r\nTransfer-Encoding: identity`, chunked],
    [`Transfer-Encoding: identity, chunked`, chunked],
    [`Transfer-Encoding: chunked, identity`, chunked],
    [`Content-Length: 0\r\nContent-Length: ${inner.length}`, inner],
    [`Content-Length: ${inner.length}\r\nContent-Length: 0`, inner],
    [`Content-Length: 0, ${inner.length}`, inner],
    [`Content-Length: +${inner.length}`, inner],
    [`Content-Length: 0x${inner.length.toString(16)}`, inner],
    [`Content-Length : ${inner.length}`, inner],
    [`Content-Length: ${inner.length}`, inner],
    [
      `Transfer-Encoding: chunked`,
      `${inner.length.toString(16)};x="\r\n"\r\n${inner}\r\n0\r\n\r\n`
    ],
    [`Transfer-Encoding: chunked`, `0\n\n${inner}`]
  ]
  const astray = []
  const before = await sentBytes(opsPort)
  let received = 0
  for (const method of ['GET', 'POST']) {
    for (const [fields, body] of cases) {
      const head = `${method} /files/plain.bin HTTP/1.1\r\nHost: localhost\r\n${own}Range: bytes=0-9\r\n`
      const given = Buffer.from(`${head}${fields}\r\n\r\n${body}`, 'latin1')
      const next = Buffer.from(`${head.replace(method, 'GET')}Connection: close\r\n\r\n`, 'latin1')
      const text = (await send(given)).toString('latin1')
      // through the connections to the service that the request before may have left in disorder
      const clean = (await send(next)).toString('latin1')
      if (!clean.endsWith(`\r\n\r\n${bytes.subarray(0, 10).toString('latin1')}`)) {
        astray.push(
          `${method} ${fields}: the next request got ${JSON.stringify(clean.slice(0, 40))}`
        )
      }
      const parts = text.match(/^HTTP\/1\.1 206/gm)?.length ?? 0
      const inners = text.split(smuggledText).length - 1
      received += 10 * (parts + 1) + smuggledText.length * inners
    }
  }
  const sent = (await sentBytes(opsPort)) - before
  claim(
    `${cases.length * 2} requests that two readers may understand differently smuggle nothing`,
    astray.length === 0 && sent === received,
    astray.join('; ') || `${sent} bytes of files sent, ${received} received`
  )
}

async function sentBytes(opsPort) {
  const text = (await request(`http://127.0.0.1:${opsPort}/metrics`)).body.toString()
  const lines = text.matchAll(/^http_response_body_bytes_total\{.*\} (\d+)$/gm)
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0)
}

async function startNginx(servicePort) {
  const port = await freePort()
  const redirectPort = await freePort()
  const name = `nginx-${port}`
  const at = (file) => path.join(folder, `${name}.${file}`)
  const hash = execFileSync('openssl', ['passwd', '-apr1', user.password], { encoding: 'utf8' })
  fs.writeFileSync(at('passwords'), `${user.name}:${hash}`)
  fs.writeFileSync(at('secret'), `set $range_server_secret "${secret}";\n`)
  const text = read('deploy/nginx/range-server.conf')
    .replace(/^ *listen \[::\].*\n/gm, '')
    .replace('listen 443 ', `listen 127.0.0.1:${port} `)
    .replace('listen 80;', `listen 127.0.0.1:${redirectPort};`)
    .replaceAll('files.example', 'localhost')
    .replace('127.0.0.1:8080', `127.0.0.1:${servicePort}`)
    .replaceAll('/etc/nginx/range-server.pem', path.join(folder, 'certificate.pem'))
    .replaceAll('/etc/nginx/range-server.key', path.join(folder, 'key.pem'))
    .replaceAll('/etc/nginx/range-server.passwords', at('passwords'))
    .replaceAll('/etc/nginx/range-server.secret', at('secret'))
  fs.writeFileSync(at('included'), text)
  const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((each) => `${each}_temp_path ${at(each)};`)
    .join(' ')
  fs.writeFileSync(
    at('conf'),
    `daemon off; pid ${at('pid')}; error_log ${at('log')} error; worker_processes 1;
     events {} http { access_log off; ${temp}
     set_real_ip_from 127.0.0.1; real_ip_header X-Test-Address; include ${at('included')}; }`
  )
  // one process: ended by a signal, a master would leave its worker behind
  start('nginx', ['-e', at('log'), '-g', 'master_process off;', '-c', at('conf')])
  await untilListening(port)
  return { port, redirectPort }
}

async function startHaproxyEdge(servicePort, key = secret) {
  const port = await freePort()
  const redirectPort = await freePort()
  const hash = execFileSync('openssl', ['passwd', '-6', user.password], { encoding: 'utf8' })
  const text = read('deploy/haproxy/edge.cfg')
    .replace('bind :443 ', `bind 127.0.0.1:${port} `)
    .replace('bind :80\n', `bind 127.0.0.1:${redirectPort}\n`)
    .replace('/etc/haproxy/range-server.pem', path.join(folder, 'both.pem'))
    .replace('password !', `password ${hash.trim()}`)
    .replace('127.0.0.1:8080', `127.0.0.1:${servicePort}`)
  startHaproxyWith(`edge-${port}.cfg`, text, { RANGE_SERVER_SECRET: key })
  await untilListening(port)
  return { port, redirectPort }
}

/** The balancer with the service as its one replica. */
async function startHaproxy({ port: servicePort, opsPort }) {
  const [port, statsPort] = [await freePort(), await freePort()]
  const text = read('deploy/haproxy/haproxy.cfg')
    .replace('bind :8080', `bind 127.0.0.1:${port}`)
    .replace(':8404"', `:${statsPort}"`)
    .replace('check port 9464', `check port ${opsPort}`)
    .replace(/^ {2}server replica-[23].*\n/gm, '')
    .replace('replica-1:8080', `127.0.0.1:${servicePort}`)
  startHaproxyWith('balancer.cfg', text, {})
  await untilListening(port)
  await until(async () => {
    return (await request(`http://127.0.0.1:${port}/files/plain.bin`))?.status === 200
  })
  return { port, statsPort }
}

function startHaproxyWith(name, text, env) {
  const file = path.join(folder, name)
  fs.writeFileSync(file, text)
  const options = { env: { ...process.env, ...env } }
  const check = spawnSync('haproxy', ['-c', '-f', file], { ...options, encoding: 'utf8' })
  if (check.status !== 0) throw new Error(check.stderr)
  if (/warning/i.test(check.stderr)) console.log(check.stderr)
  start('haproxy', ['-db', '-f', file], options)
}

function untilListening(port) {
  return until(
    () =>
      new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1', () => resolve(true))
        socket.on('connect', () => socket.destroy()).on('error', () => resolve(false))
      })
  )
}

function makeCertificate() {
  const [key, pem] = [path.join(folder, 'key.pem'), path.join(folder, 'certificate.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const words = ['req', ...kind, ...subject, '-days', '2', '-keyout', key, '-out', pem]
  execFileSync('openssl', words, { stdio: 'ignore' })
  const both = fs.readFileSync(pem, 'utf8') + fs.readFileSync(key, 'utf8')
  fs.writeFileSync(path.join(folder, 'both.pem'), both)
}

function certificate() {
  return fs.readFileSync(path.join(folder, 'certificate.pem'))
}

function sign(url, seconds, key = secret) {
  const env = { ...process.env, RANGE_SERVER_SECRET: key }
  const words = [path.join(project, 'deploy/sign-link.mjs'), url, `${seconds}`]
  return execFileSync(process.execPath, words, { env, encoding: 'utf8' }).trim()
}

/** The path goes as it is written: no client of ours takes dots out of it. */
function ask(url, options = {}) {
  const { port, origin } = new URL(url)
  return request(
    { host: '127.0.0.1', port, path: url.slice(origin.length) },
    { ca: certificate(), servername: 'localhost', ...options },
    (target, rest, whenAnswered) => https.request({ ...target, ...rest }, whenAnswered)
  )
}

/** Begin a download, and read nothing of its body. */
function begin(url, options) {
  return new Promise((resolve, reject) => {
    const { port, pathname, search } = new URL(url)
    const target = { host: '127.0.0.1', port, path: pathname + search, servername: 'localhost' }
    https
      .get({ ...target, ca: certificate(), ...options }, (response) => {
        response.on('error', () => {})
        resolve({ status: response.statusCode, close: () => response.destroy() })
      })
      .on('error', reject)
  })
}

async function askHttp2(origin) {
  const session = http2.connect(origin, { ca: certificate(), lookup: loopback })
  const stream = session.request({
    ':path': '/files/plain.bin',
    authorization: basic,
    range: 'bytes=10-19'
  })
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  session.close()
  return Buffer.concat(chunks)
}

/** @returns how many of 20 answers at once, on one connection, are begun */
async function begunOverHttp2(origin) {
  const session = http2.connect(origin, { ca: certificate(), lookup: loopback })
  session.on('error', () => {})
  let begun = 0
  for (let n = 0; n < 20; n++) {
    const stream = session.request({ ':path': '/files/big.bin', authorization: basic })
    stream.on('error', () => {})
    stream.on('response', (headers) => {
      if (headers[':status'] === 200) begun++
    })
  }
  await until(() => begun >= maxAtATime)
  // for those that should not come
  await sleep(300)
  session.destroy()
  return begun
}

function withPassword(options) {
  return { ...options, headers: { ...options?.headers, authorization: basic } }
}

function loopback(_host, options, done) {
  if (options.all) done(null, [{ address: '127.0.0.1', family: 4 }])
  else done(null, '127.0.0.1', 4)
}

function rawPlain(port, given) {
  return exchange(net.connect(port, '127.0.0.1'), 'connect', given)
}

function rawTls(port, given) {
  const options = { host: '127.0.0.1', port, servername: 'localhost', ca: certificate() }
  return exchange(tls.connect(options), 'secureConnect', given)
}

/** @returns all that comes until the other side closes, or is silent for a while */
function exchange(socket, event, given) {
  return new Promise((resolve) => {
    const chunks = []
    socket.on(event, () => socket.write(given))
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', () => {})
    socket.setTimeout(150, () => socket.destroy())
    socket.on('close', () => resolve(Buffer.concat(chunks)))
  })
}

function read(file) {
  return fs.readFileSync(path.join(project, file), 'utf8')
}

import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { describe, it } from 'node:test'
import { projectFolder } from '../support/project.ts'
import { get, mainFile, serve, tempFolder, until } from '../support/serve.ts'
import { unprivileged } from '../support/unprivileged.ts'

describe('the program', () => {
  const run = (...args: string[]) => {
    return spawnSync(process.execPath, [mainFile, ...args], { encoding: 'utf8' })
  }

  it('answers --help and --version and exits 0', () => {
    const help = run('--help')
    assert.equal(help.status, 0)
    assert.match(help.stdout, /^Usage: mmap-range-server/)
    assert.equal(run('-h').stdout, help.stdout)
    const manifest = path.join(projectFolder, 'package.json')
    const { version } = JSON.parse(fs.readFileSync(manifest, 'utf8')) as { version: string }
    assert.deepEqual(
      [run('--version').stdout, run('--version').stderr, run('--version').status],
      [`${version}\n`, '', 0]
    )
  })

  it('loads no native code but to serve', () => {
    const refuse = path.join(projectFolder, 'dist', 'test', 'support', 'refuse-native.js')
    const statusOf = (...args: string[]) => {
      const words = ['--require', refuse, mainFile, ...args]
      const { status, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' })
      assert.equal(/native code/.test(stderr), status === 99, stderr)
      return status
    }
    assert.equal(statusOf('--help'), 0)
    assert.equal(statusOf('--version'), 0)
    assert.equal(statusOf('completion', 'bash'), 0)
    assert.equal(statusOf('--max-ranges', 'many'), 2)
    assert.equal(statusOf('--chunk-size', '5'), 2)
    assert.equal(statusOf('--port', '0'), 99, 'else nothing was checked')
  })

  it('opens the ops port by npm start, on another port when the usual one is taken', async (t) => {
    const usual = net.createServer().listen(9464, '127.0.0.1')
    // taken by somebody else: as good
    await new Promise((resolve) => usual.once('listening', resolve).once('error', resolve))
    t.after(() => usual.close())
    const { scripts } = JSON.parse(
      fs.readFileSync(path.join(projectFolder, 'package.json'), 'utf8')
    ) as { scripts: { start: string } }
    const name = /exec node (\S+)$/.exec(scripts.start)?.[1] ?? ''
    const sample = path.join(projectFolder, 'sample')
    const file = path.join(projectFolder, name)
    const { opsUrl = '', stderr } = await serve(t, sample, ['--workers', '2'], { file })
    assert.match(opsUrl, /^http:\/\/127\.0\.0\.1:(?!9464$)\d+$/)
    assert.equal((await get(`${opsUrl}/readyz`)).status, 200)
    await until('its address is printed', () => stderr().includes(`${opsUrl}/\n`))
  })

  it('says in one line what is wrong with an option and exits 2', () => {
    const { status, stdout, stderr } = run('--max-ranges', 'many')
    assert.equal(status, 2)
    assert.equal(stdout, '')
    assert.equal(stderr, '--max-ranges: "many" is not a whole number from 1 to 1000\n')
  })

  it('exits 2 for a root that is a file, and for one that it may not read', (t) => {
    const folder = tempFolder(t)
    const file = path.join(folder, 'file')
    fs.writeFileSync(file, '')
    assert.equal(run('--root', file).status, 2)
    const closed = path.join(folder, 'closed')
    fs.mkdirSync(closed, { mode: 0o000 })
    // root reads everything
    const user = process.getuid?.() === 0 ? unprivileged(t) : {}
    if (user === undefined) return
    fs.chmodSync(folder, 0o755)
    const child = spawnSync(process.execPath, [mainFile, '--root', closed], { ...user, cwd: '/' })
    assert.equal(child.status, 2)
  })

  it('says in one line that the port is taken and exits 1', async (t) => {
    const taken = net.createServer().listen(0, '127.0.0.1')
    t.after(() => taken.close())
    await new Promise((resolve) => taken.once('listening', resolve))
    const { port } = taken.address() as net.AddressInfo
    const { status, stderr } = run('--port', String(port), '--log-level', 'silent')
    assert.equal(status, 1)
    assert.equal(stderr, `cannot listen on 127.0.0.1:${port}: the port is taken\n`)
  })

  it('says where it listens, and prints a curl line for the sample folder', async (t) => {
    const sample = path.join(projectFolder, 'sample')
    const { url, log, stderr } = await serve(t, sample)
    const { mode, guard, workers, root } = log.find(({ msg }) => msg === 'listening') ?? {}
    assert.deepEqual(
      { mode, guard, workers, root },
      { mode: 'mmap', guard: 'on', workers: 1, root: sample }
    )
    await until('the line is printed', () => stderr().includes('\n'))
    const line = /^Try it: {2}curl (.+)$/m.exec(stderr())?.[1]
    assert.equal(line, `-r 0-99 ${url}README.txt`)
    const printed = execFileSync('curl', ['-s', ...line.split(' ')])
    assert.deepEqual(printed, fs.readFileSync(path.join(sample, 'README.txt')).subarray(0, 100))
  })

  it('takes the folder alone, and on a terminal says in a few lines what it does', async (t) => {
    const root = tempFolder(t)
    // a terminal, by script(1) of util-linux; it takes one text for a shell
    const words = [process.execPath, mainFile, root, '-p', '0', '--workers', '2']
    const child = spawn('script', ['-qec', words.join(' '), '/dev/null'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, SHELL: '/bin/sh' }
    })
    let text = ''
    child.stdout.on('data', (chunk) => {
      text += chunk
    })
    const isThere = await new Promise((resolve) => {
      child.once('spawn', () => resolve(true)).once('error', () => resolve(false))
    })
    if (!isThere) return t.skip('there is no script(1)')
    const ended = new Promise((resolve) => child.once('exit', resolve))
    t.after(() => child.kill('SIGKILL'))
    await until('it has started', () => text.includes('Stop'))
    const url = /^ {2}Address +(\S+)/m.exec(text)?.[1] ?? ''
    fs.writeFileSync(path.join(root, 'a'), 'abc')
    assert.equal(await (await fetch(`${url}a`)).text(), 'abc')
    assert.ok(text.includes(root))
    assert.match(text, /2 processes/)
    assert.doesNotMatch(text, /\{"level"/)
    child.kill('SIGTERM')
    await ended
  })

  it('--log-format text: lines for people, into a pipe too', async (t) => {
    const child = spawn(process.execPath, [mainFile, '-p0', '--log-format', 'text'])
    t.after(() => child.kill('SIGKILL'))
    let text = ''
    child.stdout.on('data', (chunk) => {
      text += chunk
    })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    await until('it has started', () => text.includes('Stop'))
    child.kill('SIGINT')
    assert.equal(await ended, 0)
    assert.match(text, /^ {2}Try +curl -r 0-99 http/m)
    assert.match(text, /^\d\d:\d\d:\d\d INFO {2}draining signal=SIGINT$/m)
  })

  it('warns that --guard off is for experiments', async (t) => {
    const { log } = await serve(t, tempFolder(t), ['--guard', 'off'])
    assert.match(String(log.find(({ level }) => level === 40)?.msg), /--guard off/)
  })

  it('serves below another prefix', async (t) => {
    const root = tempFolder(t)
    fs.writeFileSync(path.join(root, 'a'), 'abc')
    const { url, origin } = await serve(t, root, ['--prefix', '/v1/data.set/'])
    assert.equal(url, `${origin}/v1/data.set/`)
    assert.equal(await (await fetch(`${url}a`)).text(), 'abc')
    assert.equal((await fetch(`${origin}/files/a`)).status, 404)
  })
})

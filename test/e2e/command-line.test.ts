import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { describe, it } from 'node:test'
import { affordableConnections } from '#src/config/descriptors.ts'
import { type Config, ConfigError, readCommand } from '#src/config/options.ts'
import { projectFolder } from '../support/project.ts'
import { mainFile, serve, tempFolder, until } from '../support/serve.ts'
import { unprivileged } from '../support/unprivileged.ts'

const optionsOfTheContract = [
  'root',
  'host',
  'port',
  'prefix',
  'mode',
  'guard',
  'window-bytes',
  'region-bytes',
  'max-mapped-bytes',
  'max-open-files',
  'revalidate',
  'max-ranges',
  'symlinks',
  'dotfiles',
  'cache-control',
  'cors-origin',
  'ops-port',
  'server-timing',
  'shutdown-timeout',
  'log-level'
]

function read(argv: readonly string[], env: Record<string, string> = {}): Config {
  const command = readCommand(argv, env, '1.2.3')
  assert.ok(command.kind === 'serve')
  return command.config
}

function problems(argv: readonly string[], env: Record<string, string> = {}): readonly string[] {
  try {
    readCommand(argv, env, '1.2.3')
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    assert.equal(error.message.split('\n').length, error.problems.length)
    return error.problems
  }
  assert.fail('nothing was wrong')
}

describe('options', () => {
  it('have the defaults that are documented', () => {
    const { root, ...config } = read([])
    assert.ok(fs.existsSync(path.join(root, 'README.txt')), 'the sample folder')
    assert.deepEqual(config, {
      host: '127.0.0.1',
      port: 8080,
      prefix: '/files/',
      mode: 'mmap',
      guard: 'on',
      workers: 1,
      windowBytes: 2 ** 20,
      regionBytes: 2 ** 28,
      maxMappedBytes: 2 ** 36,
      maxOpenFiles: 1000,
      maxConnections: affordableConnections(),
      maxWaitingReads: 1000,
      maxEventLoopDelayMs: 1000,
      revalidateMs: 0,
      maxRanges: 64,
      symlinks: 'within',
      dotfiles: 'deny',
      cacheControl: 'public, max-age=0, must-revalidate',
      corsOrigin: '*',
      opsPort: undefined,
      serverTiming: 'off',
      warm: [],
      warmShare: 0.95,
      warmRate: 2 ** 28,
      exemplars: 'off',
      stallThresholdMs: 100,
      shutdownTimeoutMs: 10_000,
      logLevel: 'info'
    })
  })

  it('come from a flag, else from the variable, else from the default', () => {
    assert.equal(read(['--port', '1'], { PORT: '2' }).port, 1)
    assert.equal(read(['--port=1']).port, 1)
    assert.equal(read([], { PORT: '2' }).port, 2)
    assert.equal(read([], { PORT: '' }).port, 8080)
    assert.equal(read([], { MAX_MAPPED_BYTES: '3GiB' }).maxMappedBytes, 3 * 2 ** 30)
    assert.equal(read(['--port', '1', '--port', '2']).port, 2, 'the last one counts')
  })

  it('take sizes in bytes, KiB, MiB and GiB', () => {
    const windowOf = (text: string) => read(['--window-bytes', text]).windowBytes
    assert.equal(windowOf('65536'), 65_536)
    assert.equal(windowOf('64KiB'), 65_536)
    assert.equal(windowOf('2MiB'), 2 ** 21)
    assert.equal(read(['--region-bytes', '1GiB']).regionBytes, 2 ** 30)
  })

  it('take times in ms, s and m', () => {
    const timeoutOf = (text: string) => read(['--shutdown-timeout', text]).shutdownTimeoutMs
    assert.equal(timeoutOf('250ms'), 250)
    assert.equal(timeoutOf('3s'), 3000)
    assert.equal(timeoutOf('2m'), 120_000)
  })

  it('take origins, and globs to warm', () => {
    assert.deepEqual(read(['--cors-origin', 'https://a.example, http://b.example:81']).corsOrigin, [
      'https://a.example',
      'http://b.example:81'
    ])
    assert.deepEqual(read(['--warm', 'a/**/*.pmtiles,b.tif:0-99']).warm, [
      { glob: 'a/**/*.pmtiles', range: undefined },
      { glob: 'b.tif', range: { start: 0, end: 100 } }
    ])
  })

  for (const [option, value, allowed] of [
    ['port', '65536', 'whole number from 0 to 65535'],
    ['port', '80a', 'whole number from 0 to 65535'],
    ['port', '-1', 'whole number from 0 to 65535'],
    ['host', ' ', 'an address or host name'],
    ['mode', 'Mmap', 'one of mmap, read'],
    ['guard', 'true', 'one of on, off'],
    ['window-bytes', '64KB', 'bytes or with KiB, MiB or GiB'],
    ['window-bytes', '1', 'from 4KiB to 64MiB'],
    ['region-bytes', '5000', 'multiple of the page size'],
    ['region-bytes', '2GiB', 'to 1GiB'],
    ['max-mapped-bytes', '1e9', 'a size'],
    ['max-open-files', '0', 'whole number from 1'],
    ['revalidate', '5', 'a time with its unit'],
    ['max-ranges', '0', 'whole number from 1 to 1000'],
    ['symlinks', 'follow', 'one of deny, within'],
    ['dotfiles', 'hide', 'one of deny, allow'],
    ['cache-control', 'a\r\nb', 'printable ASCII'],
    ['cors-origin', 'https://a.example/path', 'origins such as'],
    ['prefix', 'files', 'begins and ends with "/"'],
    ['prefix', '/a/../', 'begins and ends with "/"'],
    ['ops-port', 'no', 'none, or a whole number'],
    ['server-timing', '1', 'one of on, off'],
    ['warm', 'a:9-1', 'globs relative to the root'],
    ['warm-share', '1.5', 'a share from 0 to 1'],
    ['shutdown-timeout', '1h', 'in ms, s or m'],
    ['log-level', 'verbose', 'fatal, error, warn, info, debug, trace, silent'],
    ['root', '/nowhere/at/all', 'a folder that exists']
  ] as const) {
    it(`refuse --${option} ${JSON.stringify(value)} and say what is allowed`, () => {
      const [problem] = problems([`--${option}=${value}`])
      assert.ok(problem?.startsWith(`--${option}: ${JSON.stringify(value)} is not `), problem)
      assert.ok(problem?.includes(allowed), problem)
      const variable = option.toUpperCase().replaceAll('-', '_')
      assert.ok(problems([], { [variable]: value })[0]?.startsWith(`${variable}: `))
    })
  }

  it('name each one that is wrong', () => {
    assert.equal(problems(['--port', 'x', '--mode', 'y']).length, 2)
  })

  it('that do not exist are refused, and so are words and missing values', () => {
    assert.deepEqual(problems(['--chunk-size', '5']), ['--chunk-size is not an option; see --help'])
    assert.deepEqual(problems(['-p']), ['-p is not an option; see --help'])
    assert.deepEqual(problems(['folder']), ['"folder" is not an option; see --help'])
    assert.deepEqual(problems(['--port']), ['--port needs a value; see --help'])
    assert.equal(problems(['--port', '--mode', 'read'])[0], '--port needs a value; see --help')
    assert.deepEqual(problems(['--root=']), ['--root needs a value; see --help'])
  })

  it('are all in --help', () => {
    const command = readCommand(['--help', '--port', 'x'], {}, '1.2.3')
    assert.ok(command.kind === 'print')
    for (const option of optionsOfTheContract) {
      assert.match(command.text, new RegExp(`^ {2}--${option} `, 'm'))
    }
    assert.deepEqual(readCommand(['--version'], {}, '1.2.3'), { kind: 'print', text: '1.2.3' })
  })
})

describe('the program', () => {
  const run = (...args: string[]) => {
    return spawnSync(process.execPath, [mainFile, ...args], { encoding: 'utf8' })
  }

  it('answers --help and --version and exits 0', () => {
    const help = run('--help')
    assert.equal(help.status, 0)
    assert.match(help.stdout, /usage:/)
    const manifest = path.join(projectFolder, 'package.json')
    const { version } = JSON.parse(fs.readFileSync(manifest, 'utf8')) as { version: string }
    assert.deepEqual(
      [run('--version').stdout, run('--version').stderr, run('--version').status],
      [`${version}\n`, '', 0]
    )
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

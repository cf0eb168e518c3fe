import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { ConfigError, readCommand } from '#src/config/command-line.ts'
import { shells } from '#src/config/completions.ts'
import { affordableConnections } from '#src/config/descriptors.ts'
import type { Config } from '#src/config/options.ts'
import { projectFolder } from '../../support/project.ts'

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
      maxBufferedBytes: 2 ** 25,
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
      opsHost: '127.0.0.1',
      opsToken: undefined,
      publicOps: 'off',
      accessLog: 'off',
      trustProxy: [],
      serverTiming: 'off',
      warm: [],
      warmShare: 0.95,
      warmRate: 2 ** 28,
      pin: [],
      exemplars: 'off',
      fastPath: 'on',
      stallThresholdMs: 100,
      shutdownTimeoutMs: 10_000,
      logLevel: 'info',
      logFormat: 'auto',
      index: 'auto'
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

  it('take addresses and CIDRs', () => {
    const trusted = (text: string) => read(['--trust-proxy', text]).trustProxy
    assert.deepEqual(trusted('none'), [])
    assert.deepEqual(trusted('10.0.0.0/8, ::1,fd00::/8'), ['10.0.0.0/8', '::1', 'fd00::/8'])
  })

  it('take origins, and globs to warm and to pin', () => {
    assert.deepEqual(read(['--cors-origin', 'https://a.example, http://b.example:81']).corsOrigin, [
      'https://a.example',
      'http://b.example:81'
    ])
    assert.deepEqual(read(['--warm', 'a/**/*.pmtiles,b.tif:0-99']).warm, [
      { glob: 'a/**/*.pmtiles', range: undefined },
      { glob: 'b.tif', range: { start: 0, end: 100 } }
    ])
    assert.deepEqual(read(['--pin', 'a/**, b.tif']).pin, ['a/**', 'b.tif'])
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
    ['max-buffered-bytes', '512KiB', 'from 1MiB to 1024GiB'],
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
    ['ops-host', ' ', 'an address or host name'],
    ['public-ops', 'yes', 'one of on, off'],
    ['access-log', 'all', 'one of on, off'],
    ['trust-proxy', 'localhost', 'addresses and CIDRs such as 10.0.0.0/8'],
    ['trust-proxy', '10.0.0.0/33', 'addresses and CIDRs'],
    ['trust-proxy', '10.0.0.0/0', 'addresses and CIDRs'],
    ['trust-proxy', '::1/129', 'addresses and CIDRs'],
    ['trust-proxy', '10.0.0.1,', 'addresses and CIDRs'],
    ['trust-proxy', '10.0.0.1/255.0.0.0', 'addresses and CIDRs'],
    ['trust-proxy', 'fe80::1%eth0', 'addresses and CIDRs'],
    ['server-timing', '1', 'one of on, off'],
    ['workers', '0', 'auto, or a whole number from 1 to 256'],
    ['workers', '-1', 'auto, or a whole number from 1 to 256'],
    ['workers', '1.5', 'auto, or a whole number from 1 to 256'],
    ['workers', 'AUTO', 'auto, or a whole number from 1 to 256'],
    ['workers', '257', 'auto, or a whole number from 1 to 256'],
    ['warm', 'a:9-1', 'globs relative to the root'],
    ['pin', '/etc/passwd', 'globs relative to the root'],
    ['pin', 'a,,b', 'globs relative to the root'],
    ['warm-share', '1.5', 'a share from 0 to 1'],
    ['shutdown-timeout', '1h', 'in ms, s or m'],
    ['index', 'yes', 'one of auto, on, off'],
    ['log-format', 'pretty', 'one of auto, json, text'],
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

  it('refuse a token that no field can carry, without showing it', () => {
    for (const token of ['p a s s', 'p\u00e4ss', '"pass"', 'pass\n', '=']) {
      const [problem] = problems([`--ops-token=${token}`])
      assert.match(problem ?? '', /^--ops-token: its value is not none, or a token of/)
      assert.ok(!problem?.includes('p a s s') && !problem?.includes('"pass"'), problem)
    }
    assert.equal(read([], { OPS_TOKEN: 'a+/b==' }).opsToken, 'a+/b==')
  })

  it('name each one that is wrong', () => {
    assert.equal(problems(['--port', 'x', '--mode', 'y']).length, 2)
  })

  it('that do not exist are refused, and so are words and missing values', () => {
    assert.deepEqual(problems(['--chunk-size', '5']), ['--chunk-size is not an option; see --help'])
    assert.deepEqual(problems(['-x']), ['-x is not an option; see --help'])
    assert.deepEqual(problems(['-p']), ['-p needs a value; see --help'])
    assert.deepEqual(problems([projectFolder, 'b']), ['"b" is a second folder; see --help'])
    const twice = `--root is a second folder beside ${JSON.stringify(projectFolder)}`
    assert.deepEqual(problems([projectFolder, '--root', 'b']), [twice])
    assert.match(problems(['no-such-folder'])[0] ?? '', /^DIR: "no-such-folder" is not a folder/)
    assert.deepEqual(problems(['--port']), ['--port needs a value; see --help'])
    assert.equal(problems(['--port', '--mode', 'read'])[0], '--port needs a value; see --help')
    assert.deepEqual(problems(['--root=']), ['--root needs a value; see --help'])
  })

  it('give way to --help and --version', () => {
    assert.equal(readCommand(['--help', '--port', 'x', '-p'], {}, '1.2.3').kind, 'print')
    assert.equal(readCommand(['-x', '-h'], {}, '1.2.3').kind, 'print')
    for (const flag of ['--version', '-V']) {
      assert.deepEqual(readCommand([flag], {}, '1.2.3'), { kind: 'print', text: '1.2.3' })
    }
  })

  it('may be a folder alone, and letters', () => {
    assert.equal(read([projectFolder]).root, projectFolder)
    assert.equal(read(['-p', '81', projectFolder]).port, 81)
    assert.equal(read([projectFolder, '-p81']).port, 81)
    assert.equal(read([projectFolder], { ROOT: '/' }).root, projectFolder)
    assert.equal(read(['--', projectFolder]).root, projectFolder)
  })

  it('that are mistyped are told the nearest that there is', () => {
    for (const [typed, meant] of [
      ['--prot', '--port'],
      ['--worker', '--workers'],
      ['--max-range=3', '--max-ranges'],
      ['--cors', '--cors-origin'],
      ['--Mode', '--mode'],
      ['--versoin', '--version']
    ] as const) {
      const [problem] = problems([typed])
      const name = typed.split('=')[0]
      assert.equal(problem, `${name} is not an option; did you mean ${meant}? See --help`)
    }
  })

  it('completion prints a script for a shell that it knows', () => {
    for (const shell of shells) {
      const command = readCommand(['completion', shell], {}, '1.2.3')
      assert.ok(command.kind === 'print' && command.text.includes('--max-ranges'.slice(2)))
    }
    assert.match(
      problems(['completion'])[0] ?? '',
      /^completion needs a shell, one of bash, zsh, fish/
    )
    assert.match(
      problems(['completion', 'csh'])[0] ?? '',
      /^completion: "csh" is not a shell, one of/
    )
  })
})

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

/** What tests of the running program share: folders and files to serve, the process, and plain HTTP clients. */
import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { after } from 'node:test'
import { projectFolder } from './project.ts'

/** What ends when its test does. */
export interface Lifetime {
  after(end: () => unknown): void
}

/** The lifetime of the suite that is being described. */
export function suiteLifetime(): Lifetime {
  const ends: (() => unknown)[] = []
  after(async () => {
    for (const end of ends) await end()
  })
  return { after: (end) => ends.push(end) }
}

/** A new folder below a parent, by default $TEST_TMP or the system's; gone after the test. */
export function tempFolder(t: Lifetime, parent = process.env.TEST_TMP ?? os.tmpdir()): string {
  const folder = fs.mkdtempSync(path.join(parent, 'range-server-'))
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Bytes [start, end) of an endless file in which byte i is a function of i: any slice checks itself. */
export function patternBytes(start: number, end: number): Buffer {
  const bytes = Buffer.allocUnsafe(end - start)
  for (let i = start; i < end; i++) {
    bytes[i - start] = (i * 31 + (i >>> 8) * 17 + (i >>> 16) * 13 + (i >>> 24) * 7) & 0xff
  }
  return bytes
}

export function writePattern(file: string, sizeBytes: number): Buffer {
  const bytes = patternBytes(0, sizeBytes)
  fs.writeFileSync(file, bytes)
  return bytes
}

/** Date a file back by an hour: one that was changed a moment ago is served in other ways. */
export function makeOld(file: string): void {
  const time = new Date(Date.now() - 3_600_000)
  fs.utimesSync(file, time, time)
}

export interface Serving {
  /** under which the root is served, with a slash at the end */
  readonly url: string
  readonly origin: string
  /** of the ops port; undefined without one */
  readonly opsUrl: string | undefined
  readonly port: number
  readonly pid: number
  readonly child: ChildProcess
  /** the lines of its log so far */
  readonly log: Record<string, unknown>[]
  stderr(): string
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

export const mainFile = path.join(projectFolder, 'dist', 'main.js')

export interface ServeOptions {
  readonly uid?: number
  readonly gid?: number
  readonly env?: Readonly<Record<string, string>>
  /** words before the command, such as prlimit and its options */
  readonly under?: readonly string[]
  /** the file that Node runs; default: `mainFile` */
  readonly file?: string
}

/** The program itself, as a process of its own on a free port, with metrics on it; killed after the test. */
export function serve(
  t: Lifetime,
  root: string,
  args: readonly string[] = [],
  { env, under = [], file = mainFile, ...user }: ServeOptions = {}
): Promise<Serving> {
  const own = ['--root', root, '--port', '0', '--log-level', 'debug', '--public-ops', 'on']
  const command = [...under, process.execPath, file, ...own, ...args]
  const [program, ...words] = command as [string, ...string[]]
  const child = spawn(program, words, {
    ...user,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const exited = new Promise<Awaited<Serving['exited']>>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  t.after(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const log: Record<string, unknown>[] = []
  let rest = ''
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`exited with ${code}: ${stderr}`)))
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const record = JSON.parse(line) as Record<string, unknown>
        log.push(record)
        if (record.msg !== 'listening') continue
        const url = String(record.url)
        const { origin, port } = new URL(url)
        const opsUrl = record.opsUrl === undefined ? undefined : String(record.opsUrl)
        const pid = child.pid as number // a process that has logged has a pid
        const stderrSoFar = () => stderr
        resolve({
          url,
          origin,
          opsUrl,
          port: Number(port),
          pid,
          child,
          log,
          stderr: stderrSoFar,
          exited
        })
      }
    })
  })
}

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
}

/** One request over node:http, which hides nothing. @throws when the body ends before its Content-Length */
export function get(
  url: string,
  options: http.RequestOptions & { body?: string } = {}
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { agent: false, ...options }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const { statusCode = 0, headers, rawHeaders } = response
        resolve({ status: statusCode, headers, rawHeaders, body: Buffer.concat(chunks) })
      })
    })
    request.on('error', reject)
    request.end(options.body)
  })
}

/** Send exactly these bytes over a socket. @returns all that comes back until the server closes it */
export function raw(origin: string, bytes: string | Buffer): Promise<Buffer> {
  const { hostname, port } = new URL(origin)
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    const socket = net.connect(Number(port), hostname, () => socket.write(bytes))
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.on('error', reject)
    socket.on('close', () => resolve(Buffer.concat(chunks)))
  })
}

/** Ask again and again, every `pauseMs`, until it holds. @throws after `deadlineMs` */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  deadlineMs = 15_000,
  pauseMs = 20
): Promise<void> {
  const end = performance.now() + deadlineMs
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`waited ${deadlineMs} ms in vain: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, pauseMs))
  }
}

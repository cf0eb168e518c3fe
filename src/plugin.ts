/**
 * Files by ranges from mapped memory, in somebody else's Fastify app. To import this starts nothing.
 * routes/app-host.ts says how an answer becomes one of the app's.
 */
import type { FastifyInstance, FastifyPluginAsync, FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import pino from 'pino'
import { affordableFiles } from './config/descriptors.ts'
import { type FileConfig, readFileOptions } from './config/file-options.ts'
import { listsFolders } from './config/options.ts'
import { packageVersion } from './config/package.ts'
import { createDelivery } from './delivery/create-delivery.ts'
import { checkPath } from './http/request-path.ts'
import { Observer } from './metrics/observer.ts'
import { createFileMetrics } from './metrics/registry.ts'
import { type MetricsRegistry, share } from './metrics/shared-registry.ts'
import { StallWatch } from './metrics/stalls.ts'
import { type AppHostOptions, type AppRequest, appHost, refuseListing } from './routes/app-host.ts'
import { FileAnswers, type FileAnswersOptions } from './routes/file-answers.ts'
import { registerFiles } from './routes/files.ts'
import { createListing } from './routes/listing.ts'
import type {
  FileInfo,
  MmapRangesOptions,
  SendRangeOptions,
  Size
} from './routes/plugin-options.ts'
import { mapper } from './storage/native/mapping.ts'
import { openStorage } from './storage/storage.ts'
import { poolThreads } from './storage/thread-pool.ts'

export type { FileInfo, MetricsRegistry, MmapRangesOptions, SendRangeOptions, Size }

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Answers the request with a file, or with what its Range asks of it. An async handler returns the reply.
     * @param path relative to the root; one that leads out of it, or to nothing, is answered as not found
     */
    sendRange(path: string, options?: SendRangeOptions): FastifyReply
  }
}

/**
 * Serves the files of a folder, and gives replies `sendRange`. The app's hooks run, and its handlers answer errors.
 * Registering fails with a TypeError when an option is unknown or has a value that is not allowed.
 */
export const mmapRanges: FastifyPluginAsync<MmapRangesOptions> = fp(register, {
  fastify: '5.x',
  name: 'mmap-range-server'
})

// the last two are of Fastify's `register`
const otherOptions = ['setHeaders', 'allowedPath', 'metrics', 'logLevel', 'logSerializers']
// Each root has a storage of its own, with its limits: more of them are likely a mistake.
const maxRoots = 64
// With fewer a handful of cold readers on a slow disk keep everybody else waiting; see storage/thread-pool.ts.
const enoughThreads = 16

// What `reply.sendRange` sends by: of an app, or of the context in it that registered the plugin as well.
const sender = Symbol('mmap-range-server')
interface HasSender {
  readonly [sender]: Sender
}

async function register(app: FastifyInstance, given: MmapRangesOptions): Promise<void> {
  const config = readFileOptions({ ...given }, otherOptions)
  if (/[:*]/.test(app.prefix)) {
    throw new TypeError(`the prefix of the context, ${app.prefix}, may have no parameters`)
  }
  warnOfFewThreads()
  const files = await openFiles(app, config, given)
  registerFolder(app, config, given, files)
  const sending = new Sender(app, config, given, files)
  app.addHook('onClose', async () => {
    files.close()
    await sending.close()
  })
  if (!Object.hasOwn(app, sender)) app.decorate(sender, sending)
  if (app.hasReplyDecorator('sendRange')) return
  app.decorateReply('sendRange', function (this: FastifyReply, path, options) {
    const { [sender]: own } = this.server as unknown as HasSender
    own.send(this, path, options)
    return this
  })
}

/** The files of one root. */
interface Files {
  readonly options: Omit<FileAnswersOptions<AppRequest>, 'host'>
  readonly hostOptions: AppHostOptions
  /** for handlers of the app: no listings */
  readonly answers: FileAnswers<AppRequest>
  close(): void
}

function registerFolder(
  app: FastifyInstance,
  config: FileConfig,
  { allowedPath: allows }: MmapRangesOptions,
  { options, hostOptions }: Files
): void {
  const { dotfiles } = config
  const prefix = app.prefix + config.prefix
  const { catalog } = options
  const listing = listsFolders(config)
    ? createListing({ prefix, dotfiles, catalog, allows, refuse: refuseListing })
    : undefined
  const host = appHost(hostOptions, listing)
  registerFiles(app, { ...options, host, prefix, dotfiles, allows })
}

async function openFiles(
  app: FastifyInstance,
  config: FileConfig,
  { setHeaders, metrics: registry }: MmapRangesOptions
): Promise<Files> {
  const { mode, guard, serverTiming, cacheControl } = config
  const maxOpenFiles = Math.min(config.maxOpenFiles, affordableFiles())
  const storage = await openStorage({ ...config, maxOpenFiles, isGuarded: guard === 'on' })
  const metrics = createFileMetrics(storage, { version: packageVersion(), mode, guard, mapper })
  const shared = registry && share(metrics.registry, registry)
  if (shared !== undefined && shared.taken.length > 0) {
    app.log.warn(
      { metrics: shared.taken },
      'the registry has metrics of these names already: ours are left out'
    )
  }
  // the app logs its answers itself
  const silent = pino({ level: 'silent' }, { write: () => {} })
  const observer = new Observer({
    metrics,
    log: silent,
    logsAccess: false,
    addressOf: () => undefined,
    withExemplars: false
  })
  const delivery = createDelivery({
    ...config,
    storage,
    observer,
    stalls: new StallWatch(0, silent),
    log: app.log,
    sendsTiming: serverTiming === 'on',
    commonFields: []
  })
  const { catalog, counters } = storage
  const options = { catalog, delivery, observer }
  const hostOptions = { cacheControl, setHeaders, counters }
  return {
    options,
    hostOptions,
    answers: new FileAnswers({ ...options, host: appHost(hostOptions) }),
    close: () => {
      shared?.leave()
      storage.close()
    }
  }
}

/** Answers for handlers of the app: from the root of the plugin, or from another. */
class Sender {
  readonly #app: FastifyInstance
  readonly #config: FileConfig
  readonly #given: MmapRangesOptions
  readonly #files: Files
  readonly #others = new Map<string, Promise<Files>>()

  constructor(app: FastifyInstance, config: FileConfig, given: MmapRangesOptions, files: Files) {
    this.#app = app
    this.#config = config
    this.#given = given
    this.#files = files
  }

  send(reply: FastifyReply, path: string, { root }: SendRangeOptions = {}): void {
    // such as a parameter that its route does not have
    if (typeof path !== 'string') throw new TypeError('sendRange: the path must be a string')
    const given =
      root === undefined
        ? this.#give(this.#files.answers, reply, path)
        : this.#giveFrom(root, reply, path)
    given?.catch((error: unknown) => reply.send(error))
  }

  async close(): Promise<void> {
    for (const opening of this.#others.values()) {
      const files = await opening.catch(() => undefined)
      files?.close()
    }
  }

  async #giveFrom(root: string, reply: FastifyReply, path: string): Promise<void> {
    const files = await this.#filesOf(root)
    await this.#give(files.answers, reply, path)
  }

  #give(
    answers: FileAnswers<AppRequest>,
    reply: FastifyReply,
    path: string
  ): Promise<unknown> | undefined {
    const { request } = reply
    const { allowedPath } = this.#given
    const checked = checkPath(path, this.#config)
    const isAllowed =
      checked === undefined || allowedPath === undefined || allowedPath(checked, request)
    const route = request.routeOptions.url ?? 'none'
    return answers.give(request, reply, isAllowed ? checked : undefined, route)
  }

  #filesOf(root: string): Promise<Files> {
    const known = this.#others.get(root)
    if (known !== undefined) return known
    const opening = this.#open(root)
    this.#others.set(root, opening)
    // it may be there the next time
    opening.catch(() => this.#others.delete(root))
    return opening
  }

  async #open(root: string): Promise<Files> {
    if (this.#others.size >= maxRoots) {
      throw new Error(`sendRange: more than ${maxRoots} roots; register the folder above them`)
    }
    let config: FileConfig
    try {
      config = readFileOptions({ root }, [])
    } catch (cause) {
      // its message goes to the client, the cause to the log
      throw new Error('sendRange: its root is not a folder that this user may read', { cause })
    }
    return openFiles(this.#app, { ...this.#config, root: config.root }, this.#given)
  }
}

let hasWarned = false

function warnOfFewThreads(): void {
  const threads = poolThreads()
  if (hasWarned || threads >= enoughThreads) return
  hasWarned = true
  process.emitWarning(
    `mmapRanges: libuv has ${threads} threads, on which files are opened and read that are not in memory; start Node with UV_THREADPOOL_SIZE=32`,
    { code: 'MMAP_RANGES_FEW_THREADS' }
  )
}

/** The load harness: every mode under every scenario, in turns, on the same ranges of the same file. */
import fs from 'node:fs'
import path from 'node:path'
import {
  bringIntoMemory,
  type Data,
  dropFromMemory,
  machine,
  makeData,
  removeData
} from './data.ts'
import { help, type Options, readOptions, UsageError } from './options.ts'
import { type Trial, table } from './report.ts'
import { type Scenario, scenarios } from './scenarios.ts'
import {
  generate,
  killAll,
  type Mode,
  modes,
  pinning,
  residentShare,
  type Snapshot,
  snapshot,
  startService
} from './service.ts'

let data: Data | undefined

function cleanUp(): void {
  killAll()
  if (data !== undefined) removeData(data)
}

for (const [signal, status] of [
  ['SIGINT', 130],
  ['SIGTERM', 143]
] as const) {
  process.on(signal, () => {
    cleanUp()
    process.stderr.write('\nstopped; nothing is left running\n')
    process.exit(status)
  })
}

main().then(
  (status) => {
    cleanUp()
    process.exit(status)
  },
  (error: Error) => {
    cleanUp()
    process.stderr.write(`\n${error.message}\n`)
    process.exit(error instanceof UsageError ? 2 : 1)
  }
)

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2))
  if (options === undefined) {
    process.stdout.write(`${help}\n`)
    return 0
  }
  say(`making data in ${path.relative('.', options.dataParent) || '.'}, to be removed at the end`)
  data = makeData(options.file, options.dataParent)
  const trials: Trial[] = []
  try {
    await runAll(options, data, trials)
  } finally {
    // what was measured is kept, however the run ended
    if (trials.length > 0) writeResults(options, data, trials)
  }
  process.stdout.write(`\n${table(trials)}\n\n`)
  const unproved = trials.filter(({ isStateProved }) => !isStateProved).length
  if (unproved > 0) say(`${unproved} trials without proof of what was in memory: see results.json`)
  const wrong = trials.filter(({ result }) => result.wrongBytes > 0)
  for (const { mode, scenario } of wrong) say(`WRONG BYTES: ${scenario}, ${mode}`)
  return wrong.length > 0 ? 1 : 0
}

async function runAll(options: Options, data: Data, trials: Trial[]): Promise<void> {
  const chosen = scenarios.filter(({ name }) => options.scenarios.includes(name))
  const used = modes.filter(({ name }) => options.modes.includes(name))
  const total = options.rounds * chosen.length * used.length
  for (let round = 0; round < options.rounds; round++) {
    for (const scenario of chosen) {
      // another one begins each time: what drifts in the machine hits all
      for (const index of used.keys()) {
        const mode = used[(index + round) % used.length] as Mode
        say(`${trials.length + 1}/${total}  ${scenario.name}, ${mode.name}`)
        trials.push(await runTrial(options, data, scenario, mode, round))
      }
    }
  }
}

async function runTrial(
  { seconds, seed }: Options,
  data: Data,
  scenario: Scenario,
  mode: Mode,
  round: number
): Promise<Trial> {
  const file = path.join(data.root, data.name)
  const backgroundFile = path.join(data.root, data.backgroundName)
  // before the service starts: pages that are mapped cannot be dropped
  if (scenario.cache === 'cold') await dropFromMemory(file)
  else await bringIntoMemory(file)
  if (scenario.background !== undefined) await dropFromMemory(backgroundFile)
  const service = await startService(mode, data.root)
  const share = await residentShare(service, data.name)
  const backgroundShare =
    scenario.background === undefined ? 0 : await residentShare(service, data.backgroundName)
  const job = {
    url: service.filesUrl + encodeURIComponent(data.name),
    fileBytes: data.bytes,
    file,
    load: scenario.load,
    seconds,
    seed: seed + round
  }
  const before = await snapshot(service)
  const background =
    scenario.background === undefined
      ? undefined
      : generate({
          ...job,
          url: service.filesUrl + data.backgroundName,
          fileBytes: data.backgroundBytes,
          // to compare would read what is to stay cold
          file: undefined,
          load: scenario.background
        })
  const [result] = await Promise.all([generate(job), background])
  const after = await snapshot(service)
  await service.stop()
  const isAsWanted = scenario.cache === 'cold' ? share === 0 : share === 1
  return {
    scenario: scenario.name,
    mode: mode.name,
    round,
    residentShareBefore: share,
    isStateProved: isAsWanted && backgroundShare === 0,
    result,
    used: difference(before, after)
  }
}

function difference(before: Snapshot, after: Snapshot): Snapshot {
  const names = Object.keys(after) as (keyof Snapshot)[]
  const isLevel = (name: string) => name.endsWith('MemoryBytes')
  return Object.fromEntries(
    names.map((name) => [name, isLevel(name) ? after[name] : after[name] - before[name]])
  ) as unknown as Snapshot
}

function writeResults(options: Options, data: Data, trials: readonly Trial[]): void {
  const { scenarios: names, modes: used, rounds, seconds, seed } = options
  fs.mkdirSync(options.out, { recursive: true })
  const file = path.join(options.out, 'results.json')
  const settings = { scenarios: names, modes: used, rounds, seconds, seed, fileBytes: data.bytes }
  const content = { machine: { ...machine(), pinning }, settings, trials }
  fs.writeFileSync(file, `${JSON.stringify(content, undefined, 2)}\n`)
  say(`${trials.length} trials are in ${path.relative('.', file)}`)
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** The load harness: every mode under every scenario, in turns, on the same ranges of the same file. */
import fs from 'node:fs'
import path from 'node:path'
import { assertAutocannon } from './autocannon.ts'
import { type Data, makeData, removeData } from './data.ts'
import { LeftOut } from './left-out.ts'
import { machine } from './machine.ts'
import type { Mode } from './modes.ts'
import { help, type Options, readOptions, UsageError } from './options.ts'
import { killAll, pinning } from './processes.ts'
import { type Report, tellReport } from './report.ts'
import type { Scenario } from './scenarios.ts'
import { ownModes } from './service.ts'
import { runLocalTrial, runRemoteTrial, sizeOf, type Trial, type TrialSettings } from './trial.ts'
import { writeReport } from './write-report.ts'

let data: Data | undefined
// what was measured is kept, however the run ends
let keep: () => void = () => {}

function cleanUp(): void {
  killAll()
  if (data !== undefined) removeData(data)
}

function end(status: number, line?: string): void {
  cleanUp()
  if (line !== undefined) say(line)
  try {
    keep()
  } catch (error) {
    say(`the results cannot be written: ${(error as NodeJS.ErrnoException).code}`)
    process.exit(1)
  }
  process.exit(status)
}

process.once('SIGINT', () => end(130, '\nstopped; nothing is left running'))
process.once('SIGTERM', () => end(143, '\nstopped; nothing is left running'))

main().then(
  (status) => end(status),
  (error: Error) => end(error instanceof UsageError ? 2 : 1, error.message)
)

async function main(): Promise<number> {
  const options = readOptions(process.argv.slice(2))
  if (options === undefined) {
    process.stdout.write(`${help()}\n`)
    return 0
  }
  assertAutocannon()
  const trials: Trial[] = []
  const skipped: { what: string; why: string }[] = []
  const run = options.isRemote ? await prepareRemote(options) : prepareLocal(options)
  const report = (): Report => ({
    machine: { ...machine(options.isRemote ? options.out : options.dataParent), pinning },
    settings: {
      scenarios: options.scenarios.map(({ name, says }) => ({ name, says })),
      modes: options.modes.map(({ name, says }) => ({ name, says })),
      rounds: options.rounds,
      secondsOfTrial: options.seconds,
      seed: options.seed,
      mainFileBytes: data?.bytes.main,
      largeFileBytes: data?.bytes.large
    },
    skipped,
    trials
  })
  keep = () => {
    if (trials.length === 0) return
    for (const file of writeReport(report(), options)) say(`written: ${file}`)
  }
  await runAll(options, run, trials, skipped)
  process.stdout.write(`\n${tellReport(report())}\n`)
  return isSound(trials) ? 0 : 1
}

type Run = (scenario: Scenario, mode: Mode, settings: TrialSettings) => Promise<Trial>

function prepareLocal(options: Options): Run {
  say(`making data in ${path.relative('.', options.dataParent) || '.'}, to be removed at the end`)
  const made = makeData(options.file, options.dataParent, options.scenarios)
  data = made
  return (scenario, mode, settings) => runLocalTrial(scenario, mode, made, settings)
}

async function prepareRemote({ modes, file }: Options): Promise<Run> {
  const sizes = await Promise.all(modes.map(sizeOf))
  const fileBytes = file === undefined ? (sizes[0] as number) : fs.statSync(file).size
  if (sizes.some((size) => size !== fileBytes)) {
    throw new Error(`the files are of different sizes: ${sizes.join(', ')} bytes`)
  }
  say('servers that run already: what is in their memory cannot be proved from here')
  return (scenario, mode, settings) => runRemoteTrial(scenario, mode, { fileBytes, file }, settings)
}

async function runAll(
  options: Options,
  run: Run,
  trials: Trial[],
  skipped: { what: string; why: string }[]
): Promise<void> {
  const { rounds, scenarios, seconds, seed } = options
  const modesOf = ({ withPeers, memoryLimitBytes }: Scenario) =>
    options.modes.filter((mode) => {
      const isPeer = mode.url === undefined && !ownModes.includes(mode)
      return withPeers || memoryLimitBytes !== undefined || !isPeer
    })
  const total = rounds * scenarios.reduce((sum, scenario) => sum + modesOf(scenario).length, 0)
  let done = 0
  for (let round = 0; round < rounds; round++) {
    for (const scenario of scenarios) {
      const modes = modesOf(scenario)
      for (const index of modes.keys()) {
        done++
        // another one begins each time: what drifts in the machine hits all
        const mode = modes[(index + round) % modes.length] as Mode
        if (skipped.some(({ what }) => what === scenario.name || what === mode.name)) continue
        progress(`${done}/${total}  ${scenario.name}, ${mode.name}`)
        try {
          trials.push(await run(scenario, mode, { seconds, seed, round }))
        } catch (error) {
          if (!(error instanceof LeftOut)) throw error
          skipped.push({ what: error.what, why: error.message })
          say(`left out: ${error.what}: ${error.message}`)
        }
      }
    }
  }
}

/** Says what makes the run worthless. */
function isSound(trials: readonly Trial[]): boolean {
  const wrong = trials.filter(({ result }) => result.wrongBytes > 0)
  const dead = trials.filter(({ isAliveAfter }) => !isAliveAfter)
  for (const { mode, scenario } of wrong) say(`WRONG BYTES: ${scenario}, ${mode}`)
  for (const { mode, scenario } of dead) say(`ANSWERED NO MORE: ${scenario}, ${mode}`)
  return wrong.length + dead.length === 0
}

function progress(text: string): void {
  say(`${new Date().toISOString().slice(11, 19)}  ${text}`)
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

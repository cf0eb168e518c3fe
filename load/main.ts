/** The load harness: every mode under every scenario, in turns, on the same ranges of the same file. */
import fs from 'node:fs'
import path from 'node:path'
import { LeftOut } from '#src/advise/left-out.ts'
import type { Mode } from '#src/advise/modes.ts'
import { killAll, pinning } from '#src/advise/processes.ts'
import { assertAutocannon } from './autocannon.ts'
import { claims } from './claims.ts'
import { compareLines, readRun } from './compare.ts'
import { type Data, makeData, removeData } from './data.ts'
import type { Progress } from './job.ts'
import { type Live, startLive } from './live.ts'
import { machine } from './machine.ts'
import { type Command, help, type Options, readCommand, UsageError } from './options.ts'
import { type Report, tellReport } from './report.ts'
import type { Scenario } from './scenarios.ts'
import { runLocalTrial, runRemoteTrial, sizeOf, type Trial, type TrialSettings } from './trial.ts'
import { trialPage } from './trial-page.ts'
import { readClaim, writeClaim, writeReport } from './write-report.ts'
import { checkGenerator, type GeneratorCheck, isForWrk } from './wrk.ts'

let data: Data | undefined
// what was measured is kept, however the run ends
let keep: () => void = () => {}
// the view on the terminal, while there is one
let live: Live | undefined
let isOver = false

function cleanUp(): void {
  killAll()
  if (data !== undefined) removeData(data)
}

function end(status: number, line?: string): void {
  if (isOver) return
  isOver = true
  cleanUp()
  live?.close()
  live = undefined
  if (line !== undefined) say(line)
  try {
    keep()
  } catch (error) {
    say(`the results cannot be written: ${(error as NodeJS.ErrnoException).code}`)
    process.exit(1)
  }
  process.exit(status)
}

// not once: npm passes on the Ctrl-C that the terminal has sent already, and the second must not cut the end short
process.on('SIGINT', () => end(130, '\nstopped; nothing is left running'))
process.on('SIGTERM', () => end(143, '\nstopped; nothing is left running'))

main().then(
  (status) => end(status),
  (error: Error) => end(error instanceof UsageError ? 2 : 1, error.message)
)

async function main(): Promise<number> {
  const command = readCommand(process.argv.slice(2))
  switch (command.kind) {
    case 'help':
      process.stdout.write(`${help()}\n`)
      return 0
    case 'compare':
      process.stdout.write(
        `${compareLines(readRun(command.before), readRun(command.after)).join('\n')}\n`
      )
      return 0
    case 'measure': {
      const { options } = command
      return measure(options, (report) => writeReport(report, options))
    }
    case 'trial':
      return tryClaims(command)
  }
}

/** One after the other, each with data of its own. */
async function tryClaims({ runs, docs }: Extract<Command, { kind: 'trial' }>): Promise<number> {
  let status = 0
  for (const { claim, options } of runs) {
    say(`claim: ${claim.title}`)
    const write = (report: Report) => [writeClaim(options.out, claim.name, report)]
    status = Math.max(status, await measure(options, write))
    keep()
    keep = () => {}
    if (data !== undefined) removeData(data)
  }
  const out = runs[0]?.options.out
  if (docs === undefined || out === undefined) return status
  const tried = claims.map((claim) => ({ claim, report: readClaim(out, claim.name) }))
  const file = path.join(docs, 'mmap-on-trial.md')
  fs.writeFileSync(file, trialPage(tried))
  say(`written: ${path.relative('.', file)}`)
  return status
}

/** @param write is called at the end, however it comes; returns the names of files */
async function measure(
  options: Options,
  write: (report: Report) => readonly string[]
): Promise<number> {
  assertAutocannon()
  const results: Results = { trials: [], skipped: [], generatorChecks: [] }
  const run = options.isRemote ? await prepareRemote(options) : prepareLocal(options)
  const report = (): Report => ({
    machine: { ...machine(options.isRemote ? options.out : options.dataParent), pinning },
    settings: {
      scenarios: options.scenarios.map(({ name, says, load }) => ({
        name,
        says,
        isPaced: load.rate !== undefined
      })),
      modes: options.modes.map(({ name, says }) => ({ name, says })),
      rounds: options.rounds,
      secondsOfTrial: options.seconds,
      seed: options.seed,
      mainFileBytes: data?.bytes.main,
      largeFileBytes: data?.bytes.large
    },
    ...results
  })
  keep = () => {
    if (results.trials.length === 0) return
    for (const file of write(report())) say(`written: ${file}`)
  }
  await runAll(options, run, results)
  process.stdout.write(`\n${tellReport(report())}\n`)
  return isSound(results.trials) ? 0 : 1
}

interface Results {
  readonly trials: Trial[]
  readonly skipped: { what: string; why: string }[]
  readonly generatorChecks: GeneratorCheck[]
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

async function runAll(options: Options, run: Run, results: Results): Promise<void> {
  const { rounds, scenarios, modes, seconds, seed, checksGenerator } = options
  const { trials, skipped, generatorChecks } = results
  const checked = checksGenerator && data !== undefined ? scenarios.filter(isForWrk) : []
  const total = rounds * (scenarios.length + checked.length) * modes.length
  live = startLive(process.stderr)
  let done = 0
  const attempt = async (what: string, names: readonly string[], work: () => Promise<string>) => {
    done++
    if (skipped.some((each) => names.includes(each.what))) return
    live?.begin(done, total, what)
    try {
      live?.end(await work())
    } catch (error) {
      if (!(error instanceof LeftOut)) throw error
      skipped.push({ what: error.what, why: error.message })
      say(`left out: ${error.what}: ${error.message}`)
    }
  }
  for (let round = 0; round < rounds; round++) {
    const settings = { seconds, seed, round, tell: (progress: Progress) => live?.tell(progress) }
    for (const scenario of scenarios) {
      for (const mode of inTurn(modes, round)) {
        await attempt(`${scenario.name}, ${mode.name}`, [scenario.name, mode.name], async () => {
          let trial = await run(scenario, mode, settings)
          // some machines reclaim memory by themselves, in the middle of a trial
          const isLost = !trial.isStateProved && trial.residentShareAfter !== undefined
          if (isLost) trial = await run(scenario, mode, settings)
          trials.push(trial)
          const { requests, seconds: measured } = trial.result
          const perSecond = Math.round(requests / measured)
          return `${perSecond.toLocaleString('en')} requests/s`
        })
      }
      if (!checked.includes(scenario) || data === undefined) continue
      const files = data
      for (const mode of inTurn(modes, round)) {
        const names = ['wrk', scenario.name, mode.name]
        await attempt(`${scenario.name}, ${mode.name}, wrk`, names, async () => {
          generatorChecks.push(await checkGenerator(scenario, mode, files, settings))
          return 'compared with wrk'
        })
      }
    }
  }
  live.close()
  live = undefined
}

/** Another one begins each time: what drifts in the machine hits all. */
function inTurn(modes: readonly Mode[], round: number): Mode[] {
  return modes.map((_, index) => modes[(index + round) % modes.length] as Mode)
}

/** Says what makes the run worthless. */
function isSound(trials: readonly Trial[]): boolean {
  const wrong = trials.filter(({ result }) => result.wrongBytes > 0)
  // the textbook way may die: it is measured to show that
  const dead = trials.filter(
    ({ isAliveAfter, mode }) => !isAliveAfter && !mode.startsWith('textbook')
  )
  for (const { mode, scenario } of wrong) say(`WRONG BYTES: ${scenario}, ${mode}`)
  for (const { mode, scenario } of dead) say(`ANSWERED NO MORE: ${scenario}, ${mode}`)
  return wrong.length + dead.length === 0
}

function say(text: string): void {
  if (live === undefined) process.stderr.write(`${text}\n`)
  else live.say(text)
}

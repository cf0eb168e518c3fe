/** What somebody who has started the service in a terminal wants to know. */
import type { Config } from '../config/options.ts'
import { packageVersion, sampleFolder } from '../config/package.ts'

/**
 * @param mapper what maps files
 * @returns lines, each with its line feed
 */
export function startLines(
  { mode, guard, workers, root }: Pick<Config, 'mode' | 'guard' | 'workers' | 'root'>,
  mapper: string,
  url: string,
  opsUrl: string | undefined
): string {
  const isSample = root === sampleFolder
  const how = [
    mode === 'mmap' ? `mmap by ${mapper}, guard ${guard}` : mode,
    workers === 1 ? '1 process' : `${workers} processes`
  ]
  const facts: [name: string, value: string][] = [
    ['Address', url],
    ['Folder', isSample ? `${root} (the sample files)` : root],
    ['Mode', how.join(', ')],
    ['Live page', opsUrl === undefined ? 'none; --ops-port 9464 opens it' : `${opsUrl}/`]
  ]
  if (isSample) facts.push(['Try', `curl -r 0-99 ${url}README.txt`])
  facts.push(['Stop', 'Ctrl-C'])
  const lines = facts.map(([name, value]) => `  ${name.padEnd(11)}${value}\n`)
  return [`mmap-range-server ${packageVersion()}\n\n`, ...lines, '\n'].join('')
}

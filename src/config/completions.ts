/** Scripts by which bash, zsh and fish complete the command line, made of the option table. */
import { otherFlags, programName } from './help.ts'
import { choicesOf, type Option, options } from './options.ts'

export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

/** What may stand first in the place of a folder. */
const commands = {
  advise: 'say whether files should be mapped',
  completion: 'print completions for a shell'
}

const rows: readonly Option[] = Object.values(options)

/** A flag with its letter, of the table or not. */
interface Flag {
  readonly flag: string
  readonly short?: string
  readonly help: string
}

/** @returns a script to be read by the shell, which says in its first lines how */
export function completionScript(shell: Shell): string {
  switch (shell) {
    case 'bash':
      return bashScript()
    case 'zsh':
      return zshScript()
    case 'fish':
      return fishScript()
  }
}

function takesFolder({ value }: Option): boolean {
  return value === 'DIR'
}

function namesOf({ flag, short }: Pick<Flag, 'flag' | 'short'>): string[] {
  return short === undefined ? [`--${flag}`] : [`-${short}`, `--${flag}`]
}

function bashScript(): string {
  const pattern = (row: Option) => namesOf(row).join('|')
  const found = (what: string) => `mapfile -t COMPREPLY < <(compgen ${what} -- "$word")`
  const words = (list: readonly string[]) => `${found(`-W '${list.join(' ')}'`)}; return`
  const withWords = rows.filter((row) => choicesOf(row).length > 0)
  const withNothing = rows.filter((row) => choicesOf(row).length === 0 && !takesFolder(row))
  return [
    `# bash: source <(${programName} completion bash)`,
    '_mmap_range_server() {',
    '  local word="$2" previous="$3"',
    // bash splits --mode=read at the =
    `  [[ "$previous" == "=" ]] && previous="\${COMP_WORDS[COMP_CWORD-2]}"`,
    `  [[ "$word" == "=" ]] && { previous="\${COMP_WORDS[COMP_CWORD-1]}"; word=; }`,
    '  COMPREPLY=()',
    `  if (( COMP_CWORD > 1 )) && [[ "\${COMP_WORDS[1]}" == advise ]]; then`,
    '    compopt -o filenames',
    `    ${found('-f')}; return`,
    '  fi',
    '  case "$previous" in',
    ...withWords.map((row) => `    ${pattern(row)}) ${words(choicesOf(row))} ;;`),
    `    ${withNothing.map(pattern).join('|')}) return ;;`,
    `    completion) ${words(shells)} ;;`,
    '  esac',
    '  case "$word" in',
    `    -*) ${words([...rows, ...otherFlags].flatMap(namesOf))} ;;`,
    '  esac',
    '  compopt -o filenames',
    `  ${found('-d')}`,
    `  (( COMP_CWORD == 1 )) && COMPREPLY+=($(compgen -W '${Object.keys(commands).join(' ')}' -- "$word"))`,
    '}',
    `complete -F _mmap_range_server ${programName}`
  ].join('\n')
}

function zshScript(): string {
  const specs = rows.map((row) => {
    const words = choicesOf(row)
    const action = takesFolder(row) ? '_files -/' : words.length > 0 ? `(${words.join(' ')})` : ' '
    return zshSpec(row, `:${zshText(row.value)}:${action}`)
  })
  return [
    `#compdef ${programName}`,
    `# zsh: source <(${programName} completion zsh)`,
    '_mmap_range_server() {',
    '  if [[ $words[2] == completion && $CURRENT -eq 3 ]]; then',
    `    compadd ${shells.join(' ')}`,
    '    return',
    '  fi',
    '  if [[ $words[2] == advise && $CURRENT -gt 2 ]]; then',
    '    _files',
    '    return',
    '  fi',
    `  [[ $CURRENT -eq 2 ]] && compadd ${Object.keys(commands).join(' ')}`,
    '  _arguments -s -S \\',
    ...[...specs, ...otherFlags.map((row) => zshSpec(row, ''))].map((spec) => `    ${spec} \\`),
    "    '1:folder:_files -/'",
    '}',
    // a file of $fpath is run as the function; one that is sourced only defines it
    'if [[ $funcstack[1] == _mmap_range_server ]]; then _mmap_range_server "$@"',
    `else compdef _mmap_range_server ${programName}; fi`
  ].join('\n')
}

/** One specification of _arguments: a name, or two that exclude each other, a text, and what follows. */
function zshSpec(row: Flag, argument: string): string {
  const names = namesOf(row)
  const text = quote(`[${zshText(row.help)}]${argument}`, "'\\''")
  return names.length === 1
    ? `${names[0]}${text}`
    : `'(${names.join(' ')})'{${names.join(',')}}${text}`
}

/** Brackets and colons end the texts of _arguments. */
function zshText(text: string): string {
  return text.replace(/[[\]:\\]/g, '\\$&')
}

function fishScript(): string {
  const command = `complete -c ${programName}`
  const isFirst = '-n __fish_is_first_token'
  const after = (name: keyof typeof commands) => `__fish_seen_subcommand_from ${name}`
  const line = ({ flag, short, help }: Flag, values: string) => {
    const letter = short === undefined ? '' : ` -s ${short}`
    const where = ` -n 'not ${after('advise')}'`
    return `${command}${where} -l ${flag}${letter}${values} -d ${quote(help, "\\'")}`
  }
  const valuesOf = (row: Option) => {
    if (takesFolder(row)) return " -xa '(__fish_complete_directories)'"
    const words = choicesOf(row)
    return words.length > 0 ? ` -xa '${words.join(' ')}'` : ' -x'
  }
  return [
    `# fish: ${programName} completion fish | source`,
    `${command} -f`,
    `${command} ${isFirst} -a '(__fish_complete_directories)'`,
    ...Object.entries(commands).map(
      ([name, help]) => `${command} ${isFirst} -a ${name} -d ${quote(help, "\\'")}`
    ),
    `${command} -n '${after('completion')}' -a '${shells.join(' ')}'`,
    `${command} -n '${after('advise')}' -F`,
    ...rows.map((row) => line(row, valuesOf(row))),
    ...otherFlags.map((row) => line(row, ''))
  ].join('\n')
}

/** In single quotes. @param escaped how the shell takes one inside */
function quote(text: string, escaped: string): string {
  return `'${text.replaceAll("'", escaped)}'`
}

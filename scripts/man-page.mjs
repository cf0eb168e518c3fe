// The manual page, made of the option table in the language of mdoc(7), which groff and mandoc read.

/**
 * @param groups headings and rows of src/config/options.ts, in the order of --help
 * @param released the day of the latest version
 * @returns the text of mmap-range-server.1
 */
export function manPage(groups, released) {
  return [
    '.\\" written by npm run docs:options',
    `.Dd ${released.toLocaleDateString('en-US', { dateStyle: 'long', timeZone: 'UTC' })}`,
    '.Dt MMAP-RANGE-SERVER 1',
    '.Os',
    '.Sh NAME',
    '.Nm mmap-range-server',
    '.Nd serve byte ranges of files over HTTP from mapped memory',
    '.Sh SYNOPSIS',
    '.Nm',
    '.Op Ar options',
    '.Op Ar folder',
    '.Nm',
    '.Cm advise',
    '.Ar file ...',
    '.Nm',
    '.Cm completion',
    '.Cm bash | zsh | fish',
    '.Sh DESCRIPTION',
    '.Nm',
    'answers GET and HEAD requests for files below a',
    '.Ar folder ,',
    'whole or by byte ranges as RFC 9110 has them.',
    'It maps the files, and sends from the mapping what is in memory;',
    'what is not is read on a pool of threads, so that no disk stops other clients.',
    '.Pp',
    'Without a folder it serves the sample files that come with it.',
    'It logs one line',
    '.Dq listening',
    'when it is ready; on a terminal it prints its address instead.',
    '.Pp',
    '.Cm advise',
    'says whether files should be served from mappings;',
    '.Cm advise Fl -help',
    'has its options.',
    '.Cm completion',
    'prints a script by which a shell completes the command line.',
    ...groups.flatMap(([title, rows]) => [`.Ss ${text(title)}`, ...list(rows.map(item))]),
    '.Ss Other',
    ...list([
      ['.It Fl h , Fl -help', 'Print the options and exit.'],
      ['.It Fl V , Fl -version', 'Print the version and exit.']
    ]),
    '.Sh ENVIRONMENT',
    'Each option may come from a variable of the same name in upper snake case, such as',
    '.Ev MAX_RANGES',
    'for',
    '.Fl -max-ranges .',
    'A flag wins over the variable.',
    '.Bl -tag -width Ds',
    '.It Ev UV_THREADPOOL_SIZE',
    'Threads for reading files, 64 unless it is set.',
    '.It Ev NO_COLOR',
    'When it is not empty, the log on a terminal has no colours.',
    '.El',
    '.Sh EXIT STATUS',
    '.Bl -tag -width Ds',
    '.It 0',
    'After SIGTERM or SIGINT, when running answers have ended; after',
    '.Fl -help',
    'and',
    '.Fl -version .',
    '.It 1',
    'It cannot listen, or a second signal has cut what was running.',
    '.It 2',
    'An option cannot be used; a line on the standard error says why.',
    '.El',
    '.Sh EXAMPLES',
    'Serve a folder on port 9000, to all addresses, with lists of its files:',
    '.Pp',
    '.Dl mmap-range-server /srv/data -p 9000 --host 0.0.0.0 --index on',
    '.Pp',
    'Ask for the first hundred bytes of a file in it:',
    '.Pp',
    '.Dl curl -r 0-99 http://127.0.0.1:9000/files/name',
    '.Sh SEE ALSO',
    '.Xr curl 1 ,',
    '.Xr mincore 2 ,',
    '.Xr mmap 2',
    ''
  ].join('\n')
}

function item({ flag, short, value, help, shownDefault, ...option }) {
  const names = [...(short === undefined ? [] : [`Fl ${short} ,`]), `Fl -${flag}`].join(' ')
  const sentences = `${help}. Default: ${shownDefault ?? option.default}.`
  // each sentence on a line of its own, as mdoc(7) asks for
  return [`.It ${names} Ar ${text(value)}`, ...sentences.split(/(?<=\.) (?=[A-Z])/).map(text)]
}

function list(items) {
  return ['.Bl -tag -width Ds', ...items.flat(), '.El']
}

/** A dot or quote at the beginning of a line would be a command, and a backslash begins an escape. */
function text(words) {
  return words
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^[.']/, '\\&$&')
    .replaceAll('|', '\\(ba')
}

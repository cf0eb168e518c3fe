/** The live page, put together. */
import type { LiveEvent } from '../src/metrics/live-types.ts'
import { type Connection, listen, setTokenPrompt } from './api.ts'
import { Charts } from './charts.ts'
import { byId, setText } from './dom.ts'
import { FilePanel } from './file.ts'
import { Files } from './files.ts'
import { Now } from './now.ts'
import { Series } from './series.ts'
import { Slow } from './slow.ts'
import { askForToken } from './token.ts'
import { Try } from './try.ts'

setTokenPrompt(askForToken)

const series = new Series()
const now = new Now()
const charts = new Charts(series)
const trial = new Try()
const openFile = (path: string) => {
  files.selected = path
  panel.open(path)
  trial.suggest(path)
  panel.scroll()
}
const slow = new Slow(openFile)
const files = new Files(openFile)
const panel = new FilePanel({
  slowAnswers: () => slow.answers,
  tryBytes: (path, bytes) => trial.set(path, bytes),
  whenClosed: (path) => {
    files.selected = undefined
    files.focus(path)
  }
})

const words: Readonly<Record<Connection, string>> = {
  connecting: 'connecting',
  live: 'live',
  lost: 'no answer, trying again'
}

function show(event: LiveEvent): void {
  const isNew = series.add(event)
  now.update(event)
  slow.update(event)
  if (isNew) charts.update()
}

void listen(show, (connection) => {
  // the state of before is kept while it connects again, so that nothing flickers
  if (connection === 'connecting' && byId('connection').dataset.connection === 'lost') return
  byId('connection').dataset.connection = connection
  setText(byId('connection-text'), words[connection])
})

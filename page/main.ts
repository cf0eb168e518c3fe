/** The live page, put together. */
import type { LiveEvent } from '../src/metrics/live-types.ts'
import { listen, setTokenPrompt } from './api.ts'
import { Charts } from './charts.ts'
import { byId, setText, watchExplanations } from './dom.ts'
import { FilePanel } from './file.ts'
import { Files } from './files.ts'
import { clock } from './format.ts'
import { Now } from './now.ts'
import { Series } from './series.ts'
import { Slow } from './slow.ts'
import { askForToken } from './token.ts'
import { Try } from './try.ts'

setTokenPrompt(askForToken)
watchExplanations()

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

/** of the last event, milliseconds since the epoch */
let shownAt: number | undefined

function show(event: LiveEvent): void {
  shownAt = event.at
  const isNew = series.add(event)
  now.update(event)
  slow.update(event)
  if (isNew) charts.update()
}

void listen(show, (connection) => {
  // the state of before is kept while it connects again, so that nothing flickers
  if (connection === 'connecting' && byId('connection').dataset.connection === 'lost') return
  byId('connection').dataset.connection = connection
  if (connection === 'lost') now.doubt()
  setText(byId('connection-text'), connection === 'lost' ? lostSince() : connection)
})

function lostSince(): string {
  const since = shownAt === undefined ? '' : ` since ${clock(shownAt)}`
  return `no answer${since}, trying again`
}

/** What runs, and how it is at this moment. */
import type { LiveEvent } from '../src/metrics/live-types.ts'
import { byId, setText } from './dom.ts'
import * as format from './format.ts'

export class Now {
  /** There is no answer: the numbers stay, but whether it is ready nobody knows. */
  doubt(): void {
    byId('state').dataset.state = 'unknown'
    setText(byId('state-text'), 'unknown')
    set('readiness', 'unknown')
  }

  update({ about, at, notReady, processes, cgroup, gauges, totals }: LiveEvent): void {
    const state = byId('state')
    state.dataset.state = notReady === null ? 'ready' : 'waiting'
    setText(byId('state-text'), notReady === null ? 'ready' : 'not ready')
    set('readiness', notReady === null ? 'ready for traffic' : `not ready: ${notReady}`)
    const guard = about.mode === 'mmap' ? `, guard ${about.guard}` : ''
    set('mode', `${about.mode}${guard}`)
    set(
      'workers',
      processes === about.workers ? `${processes}` : `${processes} of ${about.workers}`
    )
    set('root', about.root)
    set('version', `${about.version} on Node ${about.node}`)
    set('uptime', format.duration((at - about.startedAt) / 1000))
    set('connections', format.whole(gauges.connections))
    set('open-files', format.whole(gauges.openFiles))
    set('mapped', format.bytes(gauges.mappedBytes))
    set(
      'memory',
      `${format.bytes(gauges.memoryBytes)}, ${format.bytes(gauges.ownMemoryBytes)} of it private`
    )
    set('buffers', `${format.bytes(gauges.bufferedBytes)}; ${gauges.waitingReads} reads wait`)
    const { answers } = totals
    const all = answers.mapped + answers.read + answers.mixed + answers.none
    set('answers', format.whole(all))
    byId('guard-off').hidden = !(about.mode === 'mmap' && about.guard === 'off')
    byId('cgroup-row').hidden = cgroup === null
    if (cgroup === null) return
    const limit =
      cgroup.limitBytes === null ? 'no limit' : `limit ${format.bytes(cgroup.limitBytes)}`
    const files = `${format.bytes(cgroup.fileBytes)} of it pages of files`
    set('cgroup', `${format.bytes(cgroup.usedBytes)}, ${files}; ${limit}`)
    const meter = byId<HTMLMeterElement>('cgroup-meter')
    meter.hidden = cgroup.limitBytes === null
    if (cgroup.limitBytes === null) return
    meter.max = cgroup.limitBytes
    meter.value = cgroup.usedBytes
  }
}

function set(name: string, text: string): void {
  setText(byId(`now-${name}`), text)
}

/** What the harness changes in autocannon's client is there, and it is said what is not. */
import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import fs from 'node:fs'
import path from 'node:path'
import { describe, it } from 'node:test'
import { assertAutocannon, type ClientClass, pace, problemOf } from '#load/autocannon.ts'
import { requiredVersion } from '#load/project.ts'
import { projectFolder } from '../../support/project.ts'

const folder = path.join(projectFolder, 'node_modules', 'autocannon')
const Installed: ClientClass = require(path.join(folder, 'lib', 'httpClient.js'))
const { version } = JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8'))

describe('autocannon as the harness changes it', () => {
  it('is pinned exactly, and what is installed is right', () => {
    assert.match(requiredVersion('autocannon') as string, /^\d+\.\d+\.\d+$/)
    assert.equal(requiredVersion('autocannon'), version)
    assertAutocannon()
  })

  it('another version is named, and that nothing is missing', () => {
    assert.match(
      problemOf('8.0.0', { version, Client: Installed }) as string,
      new RegExp(`^autocannon 8\\.0\\.0 is expected, ${version} is installed; .*: nothing `)
    )
  })

  it('none is named too', () => {
    assert.match(
      problemOf('9.0.0', { version: undefined, Client: undefined }) as string,
      /^autocannon 9\.0\.0 is expected, none is installed; .*: lib\/httpClient\.js /
    )
  })

  it('what is missing in the right version is named', () => {
    class Renamed {
      rate = undefined
      requestsMade = 0
      pipelinedRequests = {}
      constructor(options: { setupClient: (client: never) => void }) {
        options.setupClient(this as never)
      }
      _doRequest() {}
    }
    assert.match(
      problemOf(version, { version, Client: Renamed as unknown as ClientClass }) as string,
      /: reqsMadeThisSecond, pipelinedRequests\.addBody, pipelinedRequests\.clear, parser\.reinitialize, paused \(npm ci/
    )
  })

  it('a client without setupClient is named', () => {
    assert.match(
      problemOf(version, { version, Client: class {} as unknown as ClientClass }) as string,
      /: setupClient /
    )
  })
})

describe('the pace of a fixed rate', () => {
  it('is one request at each beat, and none between', async (t) => {
    let clockMs = 0
    t.mock.method(performance, 'now', () => clockMs)
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const pass = (ms: number) => {
      for (let i = 0; i < ms; i++) {
        clockMs++
        t.mock.timers.tick(1)
      }
    }
    // as the installed one, but for its connection
    class Client extends EventEmitter {
      rate: number | undefined = 250
      reqsMadeThisSecond = 0
      paused = false
      requests = 0
      constructor() {
        super()
        pace(this, 4, 0)
        assert.equal(this.rate, undefined, 'its own beat is not started')
        this._doRequest()
      }
      _doRequest() {
        if (!this.rate || this.reqsMadeThisSecond++ < this.rate) this.requests++
        else this.paused = true
      }
    }
    const client = new Client()
    await Promise.resolve()
    assert.equal(client.requests, 1)
    // an answer asks for the next request, which waits for the beat
    client._doRequest()
    assert.equal(client.requests, 1)
    pass(1)
    assert.equal(client.requests, 2)
    pass(400)
    assert.equal(client.requests, 2, 'none while one is not answered')
    client._doRequest()
    assert.equal(client.requests, 3, 'its beat has passed')
    client._doRequest()
    pass(3)
    assert.equal(client.requests, 3)
    pass(1)
    assert.equal(client.requests, 4)
    // the process was busy for ten beats: one is late, the next comes in its time
    clockMs += 40
    for (let i = 0; i < 8; i++) {
      client._doRequest()
      pass(1)
    }
    assert.equal(client.requests, 6, 'what was missed is not made up for')
  })
})

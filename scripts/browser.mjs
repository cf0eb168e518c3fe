// Headless Chromium, steered over two pipes by the Chrome DevTools Protocol: messages in JSON, each ended by NUL.
import { spawn } from 'node:child_process'
import { setTimeout as wait } from 'node:timers/promises'

export class Browser {
  #process
  #last = 0
  #waiting = new Map()

  /**
   * @param program name of the browser
   * @param profile a folder of its own
   */
  constructor(program, profile) {
    const words = ['--headless', '--no-sandbox', '--enable-unsafe-swiftshader']
    this.#process = spawn(
      program,
      [...words, '--no-first-run', '--remote-debugging-pipe', `--user-data-dir=${profile}`],
      { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] }
    )
    let rest = ''
    this.#process.stdio[4].setEncoding('utf8').on('data', (text) => {
      const messages = (rest + text).split('\0')
      rest = messages.pop()
      for (const message of messages) this.#hear(JSON.parse(message))
    })
  }

  /**
   * Open a page and look at it until it is ready.
   * @param expression of JavaScript, in the page; undefined or null: not ready yet
   * @returns its value; undefined when it was not ready in time
   */
  async open(address, expression, limitMs) {
    const { targetId } = await this.#ask('Target.createTarget', { url: address })
    const { sessionId } = await this.#ask('Target.attachToTarget', { targetId, flatten: true })
    const endMs = performance.now() + limitMs
    const question = { expression, returnByValue: true }
    while (performance.now() < endMs) {
      const { result } = await this.#ask('Runtime.evaluate', question, sessionId)
      if (result.value !== undefined && result.value !== null) return result.value
      await wait(100)
    }
    return undefined
  }

  close() {
    this.#process.kill()
  }

  #ask(method, params, sessionId) {
    const id = ++this.#last
    this.#process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`)
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
  }

  #hear({ id, result, error }) {
    const asked = this.#waiting.get(id)
    this.#waiting.delete(id)
    if (error === undefined) asked?.resolve(result)
    else asked?.reject(new Error(error.message))
  }
}

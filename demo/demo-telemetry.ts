import { EventEmitter } from 'node:events'
import type { Telemetry } from 'evertoken'
import type { Account } from './report.ts'

/** Turns what the library tells into lines of the report; emits `renewal_failed` and `obtained`. */
export interface DemoTelemetry extends Telemetry {
  readonly events: EventEmitter
}

export function createDemoTelemetry(report: Account): DemoTelemetry {
  const events = new EventEmitter()
  const waiting = new Map<string, number>()
  const hasToken = new Set<string>()

  async function watchGet<T>(client: string, work: () => Promise<T>): Promise<T> {
    // A token from memory is there before the event loop turns.
    let hasWaited = false
    const turn = setImmediate(() => {
      hasWaited = true
    })
    waiting.set(client, (waiting.get(client) ?? 0) + 1)
    try {
      const token = await work()
      // From here on its requests are renewals, whoever made the first one.
      hasToken.add(client)
      return token
    } finally {
      clearImmediate(turn)
      waiting.set(client, (waiting.get(client) ?? 1) - 1)
      if (hasWaited) report.totals.callsThatWaited++
    }
  }

  let isAlone = false

  async function watchRequest<T>(client: string, work: () => Promise<T>): Promise<T> {
    const isFirst = !hasToken.has(client)
    report.totals.tokenRequests++
    const result = await work()
    const isBehind = (waiting.get(client) ?? 0) === 0
    const text = isFirst
      ? 'token obtained'
      : isBehind
        ? 'token renewed behind the scenes, nobody waited'
        : 'new token obtained'
    report.line(client, text, 'busy')
    events.emit('obtained', client)
    return result
  }

  function reportRetry(reason: string): void {
    if (reason === 'invalid_token') {
      report.line('', 'an API refused its token: another one, and the same call again', 'bad')
      return
    }
    report.totals.proofsRepeated++
    report.line('', 'an API asked for its new nonce: another proof, and the same call again', 'busy')
  }

  /** A store that fails is told of once, and so is its coming back. */
  async function watchStore<T>(work: () => Promise<T>): Promise<T> {
    try {
      const found = await work()
      if (isAlone) report.line('', 'shares tokens again', 'good')
      isAlone = false
      return found
    } catch (error) {
      if (!isAlone) report.line('', 'Redis does not answer: asks for itself', 'bad')
      isAlone = true
      throw error
    }
  }

  return {
    events,
    run(operation, work) {
      if (operation.name === 'store.get') return watchStore(() => work({}))
      if (operation.name === 'token.get') return watchGet(operation.client, () => work({}))
      if (operation.name === 'token.request') return watchRequest(operation.client, () => work({}))
      if (operation.name === 'resource.retry') reportRetry(operation.reason)
      return work({})
    },
    note(event) {
      if (event.name === 'proof_retried')
        report.line(event.client, 'the authorization server asked for its nonce: another proof', 'busy')
      if (event.name !== 'renewal_failed') return
      report.line(event.client, `renewal failed (${event.error}), the token in hand still serves`, 'bad')
      events.emit('renewal_failed', event.client)
    },
  }
}

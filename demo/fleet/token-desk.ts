import { EventEmitter, once } from 'node:events'

/** Stands before the token endpoint: counts who comes, and may let one wait. */
export interface TokenDesk {
  readonly requests: number
  /** What the authorization server awaits for each token request. */
  admit(): Promise<void>
  /** Lets the next request wait until `release`. */
  holdNext(signal: AbortSignal): HeldRequest
}

/** A token request without an answer. */
export interface HeldRequest {
  /** Resolves when it has come. */
  readonly arrived: Promise<unknown>
  release(): void
}

export function createTokenDesk(): TokenDesk {
  const events = new EventEmitter()
  let requests = 0
  let held: Promise<void> | undefined
  return {
    get requests() {
      return requests
    },
    async admit() {
      requests++
      const waiting = held
      held = undefined
      events.emit('request')
      await waiting
    },
    holdNext(signal) {
      let release = (): void => {}
      held = new Promise((resolve) => {
        release = resolve
      })
      return { arrived: once(events, 'request', { signal }), release }
    },
  }
}

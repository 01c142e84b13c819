import { errorName, observe, type Telemetry } from '../telemetry/index.ts'
import { StoreError } from '../token/index.ts'
import type { WithLock } from './with-lock.ts'

/**
 * A lock whose waiting is an operation, `lock.wait`. An event tells of each change from having turns to having none, and back; a caller that leaves says nothing of the
 * lock. One that does not listen gives no turn to whoever has left.
 */
export function observedLock(lock: WithLock, telemetry: Telemetry): WithLock {
  let isDown = false

  function turned(down: boolean, error?: unknown): void {
    if (down === isDown) return
    isDown = down
    telemetry.note(down ? { name: 'lock_down', error: errorName(error) } : { name: 'lock_up' })
  }

  return async (name, task, options = {}) => {
    const { signal } = options
    signal?.throwIfAborted()
    const watch = watchWait(telemetry)
    let isWaiting = true
    const ended = (fault?: { readonly error: unknown }): void => {
      if (!isWaiting) return
      isWaiting = false
      watch.end(fault?.error)
      // Whoever waits no longer because that takes too long says so with an error of ours.
      const hasLeft = signal?.aborted === true && !(fault?.error instanceof StoreError)
      if (!hasLeft) turned(fault !== undefined, fault?.error)
    }
    const onAbort = (): void => ended({ error: signal?.reason })
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      const result = await lock(
        name,
        (turn) => {
          signal?.throwIfAborted()
          ended()
          return task(turn)
        },
        options,
      )
      // Something else may have made a turn needless.
      ended()
      return result
    } catch (error) {
      ended({ error })
      throw error
    } finally {
      signal?.removeEventListener('abort', onAbort)
    }
  }
}

/** One waiting as an operation: it ends with the turn, or with what made that needless. */
function watchWait(telemetry: Telemetry): { end(error?: unknown): void } {
  let end = (_error?: unknown): void => {}
  const waited = new Promise<void>((resolve, reject) => {
    end = (error) => (error === undefined ? resolve() : reject(error))
  })
  // Nobody else listens: whoever waits hears of the error by itself.
  waited.catch(() => {})
  observe(telemetry, { name: 'lock.wait', lock: 'tokens' }, () => waited).catch(() => {})
  return { end }
}

import { errorName, type Telemetry } from '../telemetry/index.ts'
import { StoreError } from '../token/index.ts'
import type { Clock } from '../util/index.ts'
import type { WithLock } from './with-lock.ts'

/** What a {@link tolerantLock} needs. */
export interface TolerantLockOptions {
  readonly clock: Clock
  readonly telemetry: Telemetry
  /** How long to wait for a turn, in milliseconds: longer than a lease, so that a holder that has gone is waited out. */
  readonly waitMs: number
}

/**
 * A lock whose task runs without it where it is not to be had in time: for work that may be done twice, such as to ask for a token of a client
 * that acts as itself. An event tells of each change from having locks to doing without, and back.
 */
export function tolerantLock(lock: WithLock, { clock, telemetry, waitMs }: TolerantLockOptions): WithLock {
  let isDown = false

  function turned(down: boolean, error?: unknown): void {
    if (down === isDown) return
    isDown = down
    telemetry.note(down ? { name: 'lock_down', error: errorName(error) } : { name: 'lock_up' })
  }

  return async (name, task, { signal, onLost } = {}) => {
    const patience = new AbortController()
    const cancel = clock.setTimer(() => {
      const message = `expected the lock within ${waitMs} ms, got no turn`
      patience.abort(new StoreError(message, { code: 'lock_timeout' }))
    }, waitMs)
    const waiting = signal === undefined ? patience.signal : AbortSignal.any([signal, patience.signal])
    let hasBegun = false
    try {
      return await lock(
        name,
        () => {
          hasBegun = true
          cancel()
          turned(false)
          return task()
        },
        { signal: waiting, onLost },
      )
    } catch (error) {
      // What the task throws is its own; what is thrown before it has begun is the lock's.
      if (hasBegun || signal?.aborted) throw error
      turned(true, error)
      return await task()
    } finally {
      cancel()
    }
  }
}

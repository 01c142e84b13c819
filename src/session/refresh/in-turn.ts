import type { WithLock } from '../../store/index.ts'
import { isEvertokenError, StoreError } from '../../token/index.ts'
import { type Clock, waitFor } from '../../util/index.ts'

/** A turn at something that must not be done twice. */
export interface TurnOptions {
  readonly lock: WithLock
  readonly name: string
  readonly clock: Clock
  /** How long to wait for the turn. */
  readonly waitMs: number
  /** Whether the task may run without a turn where the lock is down: it is told, and claims the session in its own place. */
  readonly mayGoWithout: boolean
}

/**
 * Runs a task under a lock. A lock that is down lets the task run only where its result is written by comparison; one that is taken for too long never does: its
 * holder may be about to spend the refresh token.
 *
 * @throws StoreError with code `coordination_unavailable`; what the task throws.
 */
export async function inTurn<T>(task: (hasTurn: boolean) => Promise<T>, options: TurnOptions): Promise<T> {
  const { lock, name, clock, waitMs, mayGoWithout } = options
  const patience = new AbortController()
  const late = new StoreError(`expected a turn within ${waitMs} ms, got none`, { code: 'lock_timeout' })
  const cancel = clock.setTimer(() => patience.abort(late), waitMs)
  let outcome: Promise<T> | undefined
  const begin = (): Promise<T> => {
    // A lock that does not listen may give its turn to somebody who has gone.
    patience.signal.throwIfAborted()
    cancel()
    outcome = task(true)
    return outcome
  }
  try {
    return await waitFor(lock(name, begin, { signal: patience.signal }), patience.signal)
  } catch (cause) {
    // What came of the task counts, whatever the lock says after it.
    if (outcome !== undefined) return await outcome
    if (mayGoWithout && !isTaken(cause)) return await task(false)
    throw noTurn(cause)
  } finally {
    cancel()
  }
}

function isTaken(error: unknown): boolean {
  return isEvertokenError(error) && error.code === 'lock_timeout'
}

/** What a caller gets who can neither refresh nor wait any longer; the session is as it was. */
export function noTurn(cause?: unknown): StoreError {
  return new StoreError('expected a turn to refresh the session, got none', { code: 'coordination_unavailable', cause })
}

import type { Telemetry } from '../telemetry/index.ts'
import { StoreError } from '../token/index.ts'
import { type Clock, waitFor } from '../util/index.ts'
import { observedLock } from './observed-lock.ts'
import type { Turn, WithLock, WithLockOptions } from './with-lock.ts'

/** What a {@link tolerantLock} needs. */
export interface TolerantLockOptions {
  readonly clock: Clock
  readonly telemetry: Telemetry
  /** How long to wait for a turn, in milliseconds: longer than a lease, so that a holder that has gone is waited out. */
  readonly waitMs: number
  /** Where locks are kept account of that have not been given back yet. */
  readonly running?: Set<Promise<unknown>> | undefined
}

/**
 * A lock whose task runs without it where it is not to be had in time: for work that may be done twice, such as to ask for a token of a client
 * that acts as itself. An event tells of each change from having locks to doing without, and back.
 */
export function tolerantLock(lock: WithLock, { clock, telemetry, waitMs, running }: TolerantLockOptions): WithLock {
  const observed = observedLock(lock, telemetry)

  return async <T>(
    name: string,
    task: (turn?: Turn) => Promise<T>,
    { signal, onLost, meanwhile }: WithLockOptions<T> = {},
  ): Promise<T> => {
    const patience = new AbortController()
    const late = (): StoreError =>
      new StoreError(`expected the lock within ${waitMs} ms, got no turn`, { code: 'lock_timeout' })
    const cancel = clock.setTimer(() => patience.abort(late()), waitMs)
    const waiting = signal === undefined ? patience.signal : AbortSignal.any([signal, patience.signal])
    const turn = createOwnTurn<T>()
    const inTurn = (given?: Turn): Promise<T> => {
      cancel()
      return turn.begin(task(given))
    }
    try {
      const locked = observed(name, inTurn, { signal: waiting, onLost, meanwhile })
      keep(running, locked)
      // Nobody waits until the lock is given back.
      return await waitFor(Promise.race([turn.outcome, locked]), waiting)
    } catch (error) {
      if (signal?.aborted) throw error
      // What came of the task counts, whatever the lock says after it.
      if (turn.hasBegun) return await turn.outcome
      return await task()
    } finally {
      cancel()
    }
  }
}

/** The task as it runs in its turn, if it ever does. */
interface OwnTurn<T> {
  readonly outcome: Promise<T>
  readonly hasBegun: boolean
  begin(task: Promise<T>): Promise<T>
}

function createOwnTurn<T>(): OwnTurn<T> {
  let settle = (_task: Promise<T>): void => {}
  let hasBegun = false
  const outcome = new Promise<T>((resolve) => {
    settle = resolve
  })
  // A lock may leave it to nobody.
  outcome.catch(() => {})
  return {
    outcome,
    get hasBegun() {
      return hasBegun
    },
    begin(task) {
      hasBegun = true
      settle(task)
      return task
    },
  }
}

/** Keeps account of what has not ended yet. */
function keep(running: Set<Promise<unknown>> | undefined, locked: Promise<unknown>): void {
  const done = locked.then(
    () => {},
    () => {},
  )
  if (running === undefined) return
  running.add(done)
  void done.then(() => running.delete(done))
}

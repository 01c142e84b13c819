import { errorName, observe, type Telemetry } from '../telemetry/index.ts'
import { StoreError } from '../token/index.ts'
import { type Clock, waitFor } from '../util/index.ts'
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
  let isDown = false

  function turned(down: boolean, error?: unknown): void {
    if (down === isDown) return
    isDown = down
    telemetry.note(down ? { name: 'lock_down', error: errorName(error) } : { name: 'lock_up' })
  }

  return async <T>(
    name: string,
    task: (turn?: Turn) => Promise<T>,
    { signal, onLost, meanwhile }: WithLockOptions<T> = {},
  ): Promise<T> => {
    const patience = new AbortController()
    const late = (): StoreError =>
      new StoreError(`expected the lock within ${waitMs} ms, got no turn`, { code: 'lock_timeout' })
    const cancel = clock.setTimer(() => patience.abort(late()), waitMs)
    const watch = watchWait(telemetry)
    const waiting = signal === undefined ? patience.signal : AbortSignal.any([signal, patience.signal])
    const turn = createOwnTurn<T>()
    const inTurn = (given?: Turn): Promise<T> => {
      // A lock that does not listen may give its turn to somebody who has gone on without.
      if (waiting.aborted) throw waiting.reason
      cancel()
      turned(false)
      watch.end()
      return turn.begin(task(given))
    }
    try {
      const locked = Promise.resolve(lock(name, inTurn, { signal: waiting, onLost, meanwhile }))
      keep(running, locked)
      // Nobody waits until the lock is given back.
      const result = await waitFor(Promise.race([turn.outcome, locked]), waiting)
      turned(false)
      return result
    } catch (error) {
      watch.end(error)
      if (signal?.aborted) throw error
      // What came of the task counts, whatever the lock says after it.
      if (turn.hasBegun) return await turn.outcome
      turned(true, error)
      return await task()
    } finally {
      cancel()
      watch.end()
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

/** One waiting as an operation, `lock.wait`: it ends with the turn, or with what made that needless. */
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

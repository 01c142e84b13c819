import { copyError, StoreError } from '../token/index.ts'
import { type Clock, waitFor, withDeadline } from '../util/index.ts'
import type { Acquired, LockCommands } from './lock-commands.ts'

/** What keeps a lock, as the commands see it: up, or down. */
export interface LockHealth {
  /**
   * Lets nobody wait in vain for what is known to be down: after a failure one caller a second may try.
   *
   * @throws StoreError with code `lock_unavailable`.
   */
  assertUp(): void
  /**
   * Gives the answer to a command that comes in time.
   *
   * @throws StoreError with code `lock_unavailable`.
   */
  answer<T>(ask: (deadline: AbortSignal) => Promise<T>): Promise<T>
  /**
   * Waits for room to ask at all, for as long as an answer may take; a signal that aborts ends that. There is no verdict on the keeper in it.
   *
   * @throws StoreError with code `lock_unavailable`.
   */
  room(enter: (deadline: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void>
}

/** What is watched, and for how long it may be silent. */
export interface LockHealthOptions {
  readonly clock: Clock
  readonly deadlineMs: number
  /** What is to answer, for messages: `Redis`. */
  readonly keeper: string
}

const REST_MS = 1000
/** Longer nobody waits for what is down, so that a call which tries store and lock is no slower than others to speak of. */
const PROBE_WAIT_MS = 10

/** What the commands of one lock have found out together. */
export function createLockHealth({ clock, deadlineMs, keeper }: LockHealthOptions): LockHealth {
  let failure: StoreError | undefined
  let nextTryAt = 0

  const unavailable = (came: string, cause?: unknown): StoreError =>
    new StoreError(`lock: expected an answer of ${keeper}, got ${came}`, { code: 'lock_unavailable', cause })
  const silent = (ms: number): StoreError => unavailable(`none within ${ms} ms`)

  function fail(error: StoreError): StoreError {
    failure = error
    nextTryAt = clock.now() + REST_MS
    return error
  }

  return {
    assertUp() {
      if (failure === undefined) return
      if (clock.now() < nextTryAt) throw copyError(failure)
      // Claimed before any await, so that there is one who tries and not one per caller.
      nextTryAt = clock.now() + REST_MS
    },
    answer(ask) {
      const isProbe = failure !== undefined
      const asked = answerInTime(ask)
      // Whoever tries what is down does not wait as long as its answer may take; that tells the others.
      return isProbe
        ? withDeadline(() => asked, { clock, ms: PROBE_WAIT_MS, error: () => silent(PROBE_WAIT_MS) })
        : asked
    },
    async room(enter, signal) {
      const late = new AbortController()
      const cancel = clock.setTimer(() => late.abort(crowded(deadlineMs, keeper)), deadlineMs)
      try {
        // Not left behind when the time is up: whoever has entered has to know.
        await enter(AbortSignal.any([signal, late.signal]))
      } finally {
        cancel()
      }
    },
  }

  async function answerInTime<T>(ask: (deadline: AbortSignal) => Promise<T>): Promise<T> {
    const late = silent(deadlineMs)
    try {
      const answer = await withDeadline(ask, { clock, ms: deadlineMs, error: () => late })
      failure = undefined
      return answer
    } catch (error) {
      throw error === late ? fail(late) : fail(unavailable('an error', error))
    }
  }
}

function crowded(ms: number, keeper: string): StoreError {
  const message = `lock: expected room to ask ${keeper} within ${ms} ms, got as many locks at a time as may be`
  return new StoreError(message, { code: 'lock_unavailable' })
}

/** One owner's commands, each of which is answered in time or fails. */
export interface TimelyCommands {
  /** The signal ends the waiting for room; a command that was sent is waited for. */
  acquire(signal: AbortSignal): Promise<Acquired>
  renew(): Promise<boolean>
  release(): Promise<boolean>
}

/** Each command in time; a lock that is given too late is given back. */
export function inTime(commands: LockCommands, health: LockHealth): TimelyCommands {
  return {
    async acquire(signal) {
      if (commands.enter !== undefined) await health.room(commands.enter, signal)
      let asked: Promise<Acquired> | undefined
      try {
        return await health.answer((deadline) => {
          asked = commands.acquire(deadline)
          return waitFor(asked, deadline)
        })
      } catch (error) {
        // Late or without an answer at all: given up once, whichever it is. That may take its time: nobody waits for it.
        if (asked !== undefined) giveUp(asked, () => commands.release(new AbortController().signal))
        throw error
      }
    },
    renew: () => health.answer((deadline) => commands.renew(deadline)),
    release: () => health.answer((deadline) => commands.release(deadline)),
  }
}

/** An answer that comes too late, or never, may have taken the lock for nobody. */
function giveUp(asked: Promise<Acquired>, release: () => Promise<unknown>): void {
  asked
    .catch((): Acquired => 'next')
    .then((taken) => (taken === undefined ? undefined : release()))
    .catch(() => {})
}

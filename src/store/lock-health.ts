import { copyError, StoreError } from '../token/index.ts'
import { type Clock, waitFor, withDeadline } from '../util/index.ts'
import type { Acquired, LockCommands } from './lock-commands.ts'
import { giveUp } from './lock-turn.ts'

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
/** For a command that may take its time: nobody waits for it. */
const NEVER = new AbortController().signal

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

/** One owner's commands, each of which is answered in time or fails. */
export interface TimelyCommands {
  acquire(): ReturnType<LockCommands['acquire']>
  renew(): Promise<boolean>
  release(): Promise<boolean>
}

/** Each command in time; a lock that is given too late is given back. */
export function inTime(commands: LockCommands, health: LockHealth): TimelyCommands {
  return {
    async acquire() {
      let asked: Promise<Acquired> | undefined
      try {
        return await health.answer((deadline) => {
          asked = commands.acquire(deadline)
          return waitFor(asked, deadline)
        })
      } catch (error) {
        // Late or without an answer at all: given up once, whichever it is.
        if (asked !== undefined) giveUp(asked, () => commands.release(NEVER))
        throw error
      }
    },
    renew: () => health.answer((deadline) => commands.renew(deadline)),
    release: () => health.answer((deadline) => commands.release(deadline)),
  }
}

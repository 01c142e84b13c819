import { copyError, StoreError } from '../token/index.ts'
import { type Clock, waitFor, withDeadline } from '../util/index.ts'
import type { LockCommands } from './lock-commands.ts'
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
/** For a command that may take its time: nobody waits for it. */
const NEVER = new AbortController().signal

/** What the commands of one lock have found out together. */
export function createLockHealth({ clock, deadlineMs, keeper }: LockHealthOptions): LockHealth {
  let failure: StoreError | undefined
  let nextTryAt = 0

  function fail(came: string, cause?: unknown): StoreError {
    const message = `lock: expected an answer of ${keeper}, got ${came}`
    const error = new StoreError(message, { code: 'lock_unavailable', cause })
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
    async answer(ask) {
      const late = new StoreError(`expected an answer within ${deadlineMs} ms, got none`, { code: 'store_timeout' })
      try {
        const answer = await withDeadline(ask, { clock, ms: deadlineMs, error: () => late })
        failure = undefined
        return answer
      } catch (error) {
        throw error === late ? fail(`none within ${deadlineMs} ms`) : fail('an error', error)
      }
    },
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
    acquire: () =>
      health.answer((deadline) => {
        const asked = commands.acquire(deadline)
        const release = (): Promise<unknown> => commands.release(NEVER)
        // Late or without an answer at all: given up once, whichever it is.
        const answered = waitFor(asked, deadline)
        answered.catch(() => giveUp(asked, release))
        return answered
      }),
    renew: () => health.answer((deadline) => commands.renew(deadline)),
    release: () => health.answer((deadline) => commands.release(deadline)),
  }
}

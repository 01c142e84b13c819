import { copyError, StoreError } from '../../token/index.ts'
import { type Clock, withDeadline } from '../../util/index.ts'

/** Redis as the commands of a lock see it: up, or down. */
export interface LockService {
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
  answer<T>(ask: () => Promise<T>): Promise<T>
}

const REST_MS = 1000

/** What the commands of one lock have found out together. */
export function createLockService(clock: Clock, deadlineMs: number): LockService {
  let failure: StoreError | undefined
  let nextTryAt = 0

  function fail(came: string, cause?: unknown): StoreError {
    const error = new StoreError(`lock: expected an answer of Redis, got ${came}`, { code: 'lock_unavailable', cause })
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

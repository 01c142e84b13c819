import type { Clock } from '../util/index.ts'

/** What is known of an authorization server's clock. */
export interface ServerTime {
  /** The client's clock, with a `wallTime` that shows what the server's clock shows, as far as that is known. */
  readonly clock: Clock
  /** How far `wallTime` of that clock is ahead of this machine's, in milliseconds. */
  readonly offsetMs: number
  /** Takes note of an answer that accepted the client. */
  accepted(answer: TimedAnswer): void
  /**
   * Takes note of an answer that refused an assertion which was dated with an offset. Tells whether the next one will be dated by
   * another time.
   */
  refused(answer: TimedAnswer, datedWithMs: number): boolean
}

/** An answer, and between which two looks at this machine's wall clock it was made. */
export interface TimedAnswer {
  readonly headers: Headers
  readonly sentWallTime: number
  readonly receivedWallTime: number
}

/** A difference of clocks that `Date`, with its whole seconds, can tell from none. */
export const SKEW_MS = 2000
/** `Date` has whole seconds. */
const RESOLUTION_MS = 999
/** A clock that was followed so often and never accepted is not what is wrong. */
const MAX_DOUBTS = 4
/** It is not followed again for so long. */
const REST_MS = 5 * 60_000

/**
 * Follows a server's clock once a refusal has shown that the difference matters. Until then dates are this machine's own: a `Date`
 * header that is wrong, from a cache or a proxy, must not spoil assertions that are right. Nor does it for long: a clock whose time is never
 * accepted is left again.
 */
export function createServerTime(clock: Clock): ServerTime {
  let offsetMs = 0
  let isFollowed = false
  let isProven = false
  let doubts = 0
  let restsUntil = 0

  function leave(): false {
    isFollowed = false
    offsetMs = 0
    restsUntil = clock.now() + REST_MS
    return false
  }

  return {
    clock: { now: () => clock.now(), wallTime: () => clock.wallTime() + offsetMs, setTimer: clock.setTimer },
    get offsetMs() {
      return offsetMs
    },
    accepted(answer) {
      if (!isFollowed) return
      isProven = true
      offsetMs = skewOf(answer) ?? offsetMs
    },
    refused(answer, datedWithMs) {
      const skewMs = skewOf(answer)
      if (skewMs === undefined) return false
      if (Math.abs(skewMs - datedWithMs) < SKEW_MS) {
        return isFollowed && !isProven && ++doubts >= MAX_DOUBTS && leave()
      }
      if (!isFollowed && clock.now() < restsUntil) return false
      if (!isFollowed) doubts = 0
      isFollowed = true
      offsetMs = skewMs
      return true
    },
  }
}

/** How far the server's clock is ahead of this machine's, in milliseconds, by the `Date` of one answer. */
export function skewOf({ headers, sentWallTime, receivedWallTime }: TimedAnswer): number | undefined {
  const date = Date.parse(headers.get('date') ?? '')
  if (Number.isNaN(date)) return undefined
  const least = date - receivedWallTime
  const most = date + RESOLUTION_MS - sentWallTime
  // The smallest difference that explains the answer; none, if the journey and the resolution explain it.
  return least > 0 ? least : Math.min(most, 0)
}

import type { Clock } from '../util/index.ts'

/** What is known of an authorization server's clock. */
export interface ServerTime {
  /** The client's clock, with a `wallTime` that shows what the server's clock shows, as far as that is known. */
  readonly clock: Clock
  /** How far the server's clock is ahead of this machine's, in milliseconds, by the `Date` of one answer. */
  skewOf(answer: TimedAnswer): number | undefined
  /** From now on this server's clock is followed; `false` when it already was, or when it tells nothing new. */
  follow(skewMs: number): boolean
  /** Takes note of an answer while the clock is followed. */
  observe(answer: TimedAnswer): void
}

/** An answer, and between which two looks at this machine's wall clock it was made. */
export interface TimedAnswer {
  readonly headers: Headers
  readonly sentWallTime: number
  readonly receivedWallTime: number
}

/** `Date` has whole seconds. */
const RESOLUTION_MS = 999

/**
 * Follows a server's clock once a refusal has shown that the difference matters. Until then dates are this machine's own: a `Date`
 * header that is wrong, from a cache or a proxy, must not spoil assertions that are right.
 */
export function createServerTime(clock: Clock): ServerTime {
  let offsetMs = 0
  let isFollowed = false

  function skewOf({ headers, sentWallTime, receivedWallTime }: TimedAnswer): number | undefined {
    const date = Date.parse(headers.get('date') ?? '')
    if (Number.isNaN(date)) return undefined
    const least = date - receivedWallTime
    const most = date + RESOLUTION_MS - sentWallTime
    // The smallest difference that explains the answer; none, if the journey and the resolution explain it.
    return least > 0 ? least : Math.min(most, 0)
  }

  return {
    clock: { now: () => clock.now(), wallTime: () => clock.wallTime() + offsetMs, setTimer: clock.setTimer },
    skewOf,
    follow(skewMs) {
      if (isFollowed && skewMs === offsetMs) return false
      const isNews = !isFollowed
      isFollowed = true
      offsetMs = skewMs
      return isNews
    },
    observe(answer) {
      if (isFollowed) offsetMs = skewOf(answer) ?? offsetMs
    },
  }
}

import type { Clock } from './clock.ts'

/** What is known of a server's clock. */
export interface ServerTime {
  /** How far it is ahead of this machine's, in milliseconds; 0 as long as nothing speaks against this machine's clock. */
  readonly offsetMs: number
  /** Takes note of an answer that accepted something which was dated with an offset. */
  accepted(answer: TimedAnswer, datedWithMs: number): void
}

/** An answer, and between which two looks at this machine's wall clock it was made. */
export interface TimedAnswer {
  /** The header `Date`. */
  readonly date: string | undefined
  readonly sentWallTime: number
  readonly receivedWallTime: number
}

/** A difference of clocks that `Date`, with its whole seconds, can tell from none. */
const SKEW_MS = 2000
/** `Date` has whole seconds. */
const RESOLUTION_MS = 999

/**
 * Follows a server's clock once something that was dated by it has been accepted where what this machine's clock dated was not. Until then
 * `Date` changes nothing for the next request: a header that is wrong, from a cache or a proxy, must not spoil dates that are right.
 */
export function createServerTime(): ServerTime {
  let offsetMs = 0
  return {
    get offsetMs() {
      return offsetMs
    },
    accepted(answer, datedWithMs) {
      // This machine's clock will do; or else the server's is followed from answer to answer.
      offsetMs = datedWithMs === 0 ? 0 : (skewOf(answer) ?? datedWithMs)
    },
  }
}

/** The offset of the server's clock where that is another one than dated what it refused. */
export function redated(answer: TimedAnswer, datedWithMs: number): number | undefined {
  const skewMs = skewOf(answer)
  return skewMs !== undefined && Math.abs(skewMs - datedWithMs) >= SKEW_MS ? skewMs : undefined
}

/** How far the server's clock is ahead of this machine's, in milliseconds, by the `Date` of one answer. */
export function skewOf({ date: text, sentWallTime, receivedWallTime }: TimedAnswer): number | undefined {
  const date = Date.parse(text ?? '')
  if (Number.isNaN(date)) return undefined
  const least = date - receivedWallTime
  const most = date + RESOLUTION_MS - sentWallTime
  // The smallest difference that explains the answer; none, if the journey and the resolution explain it.
  return least > 0 ? least : Math.min(most, 0)
}

/** A clock whose wall time is ahead of another's. */
export function aheadOf(clock: Clock, offsetMs: number): Clock {
  return {
    now: () => clock.now(),
    wallTime: () => clock.wallTime() + offsetMs,
    setTimer: (...timer) => clock.setTimer(...timer),
  }
}

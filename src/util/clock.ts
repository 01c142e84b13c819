/**
 * Where all time comes from. Replace it in tests to move time by hand.
 */
export interface Clock {
  /**
   * Milliseconds since the epoch, for lifetimes. Never runs slower than time really passes: a wall clock that is set back
   * does not extend what has been measured, a wall clock that leaps forward (after a suspend, say) is followed.
   */
  now(): number
  /** Milliseconds since the epoch as the wall clock shows them, for dates that others read (`iat`, `exp`). */
  wallTime(): number
  /** Calls back once after `delayMs`, without keeping the process alive; the returned function calls that off. */
  setTimer(callback: () => void, delayMs: number): () => void
}

/** The longest delay that `setTimeout` keeps; a longer one would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1
/** For this long after a look at the monotonic clock the wall clock is trusted to have kept its pace. */
const TRUST_MS = 100
/** Readings are whole milliseconds and rates differ by some parts in a million: less than this is not a leap. */
const TOLERANCE_MS = 5
const TOLERANCE_RATE = 0.001

/** The two raw readings that a {@link Clock} is made of. */
export interface TimeReadings {
  wallTime(): number
  monotonic(): number
}

const platformReadings: TimeReadings = {
  wallTime: () => Date.now(),
  monotonic: () => performance.now(),
}

/**
 * A clock that follows the wall clock but is held up by the monotonic one.
 *
 * One reading of the wall clock is the usual cost. The monotonic clock is read at most once in 100 ms, so a leap back
 * is noticed within that time, far inside the margin at which tokens are renewed.
 */
export function createClock({ wallTime, monotonic }: TimeReadings = platformReadings): Clock {
  let anchorNow = wallTime()
  let anchorWall = anchorNow
  let anchorMonotonic = monotonic()

  function anchor(wall: number): number {
    const mono = monotonic()
    const elapsed = mono - anchorMonotonic
    const wallElapsed = wall - anchorWall
    const tolerance = TOLERANCE_MS + elapsed * TOLERANCE_RATE
    const isInStep = Math.abs(wallElapsed - elapsed) <= tolerance
    // A leap forward is followed, and makes up for leaps back before it; a leap back is not.
    anchorNow = isInStep ? anchorNow + wallElapsed : Math.max(anchorNow + elapsed, wallElapsed > elapsed ? wall : 0)
    anchorWall = wall
    anchorMonotonic = mono
    return anchorNow
  }

  return {
    now() {
      const wall = wallTime()
      const sinceAnchor = wall - anchorWall
      return sinceAnchor >= 0 && sinceAnchor < TRUST_MS ? anchorNow + sinceAnchor : anchor(wall)
    },
    wallTime,
    setTimer,
  }
}

function setTimer(callback: () => void, delayMs: number): () => void {
  const timer: unknown = setTimeout(callback, Math.min(Math.max(delayMs, 0), MAX_DELAY_MS))
  // Node and Bun return an object that can let the process exit; Workers, Deno and browsers return a number.
  if (typeof timer === 'object' && timer !== null && 'unref' in timer && typeof timer.unref === 'function')
    timer.unref()
  return () => clearTimeout(timer as number)
}

/** The clock of this process. */
export const systemClock: Clock = /* @__PURE__ */ createClock()

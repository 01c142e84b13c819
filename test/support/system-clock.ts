import type { Clock } from 'evertoken'

/** The clock of this machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  wallTime: () => Date.now(),
  setTimer(callback, delayMs) {
    const timer = setTimeout(callback, delayMs)
    return () => clearTimeout(timer)
  },
}

import type { Clock } from 'evertoken'

/** A clock that is moved by hand. */
export interface TestClock extends Clock {
  /** Moves time on, calling back what falls due, in order, and lets what that starts settle. */
  advance(ms: number): Promise<void>
  /**
   * Sets the wall clock. Forward, as after a suspend: `now` follows, and timers have as long to wait as before.
   * Back (`ms` below zero): `now` stays where it is.
   */
  leap(ms: number): void
  /** How many timers wait. */
  readonly pending: number
}

interface Timer {
  /** On a stopwatch that only `advance` moves. */
  readonly dueAt: number
  readonly callback: () => void
}

/** Lets everything that waits for nothing but its turn have it, network events of this machine included. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

/** Starts at an instant that is like any other. */
export function createTestClock(startAt: number = Date.UTC(2026, 0, 1)): TestClock {
  let elapsed = 0
  let origin = startAt
  let wallOffset = 0
  const timers = new Set<Timer>()
  const now = (): number => origin + elapsed
  return {
    now,
    wallTime: () => now() + wallOffset,
    setTimer(callback, delayMs) {
      const timer = { dueAt: elapsed + delayMs, callback }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    async advance(ms) {
      const until = elapsed + ms
      for (;;) {
        const next = Math.min(...[...timers].map(({ dueAt }) => dueAt))
        if (next > until) break
        elapsed = Math.max(elapsed, next)
        // What falls due at one instant runs in one turn, as the event loop does it.
        for (const timer of [...timers].filter(({ dueAt }) => dueAt <= elapsed))
          if (timers.delete(timer)) timer.callback()
        await settle()
      }
      elapsed = until
      await settle()
    },
    leap(ms) {
      if (ms < 0) wallOffset += ms
      else origin += ms
    },
    get pending() {
      return timers.size
    },
  }
}

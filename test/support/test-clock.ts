import type { Clock } from 'evertoken'

/** A clock that is moved by hand. */
export interface TestClock extends Clock {
  /** Moves time on, calling back what falls due, in order, and lets what that starts settle. */
  advance(ms: number): Promise<void>
  /** How many timers wait. */
  readonly pending: number
}

interface Timer {
  readonly dueAt: number
  readonly callback: () => void
}

/** Lets everything that waits for nothing but its turn have it, network events of this machine included. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

/** Starts at an instant that is like any other. */
export function createTestClock(startAt: number = Date.UTC(2026, 0, 1)): TestClock {
  let now = startAt
  const timers = new Set<Timer>()
  return {
    now: () => now,
    wallTime: () => now,
    setTimer(callback, delayMs) {
      const timer = { dueAt: now + delayMs, callback }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    async advance(ms) {
      const until = now + ms
      for (;;) {
        const next = Math.min(...[...timers].map(({ dueAt }) => dueAt))
        if (next > until) break
        now = Math.max(now, next)
        // What falls due at one instant runs in one turn, as the event loop does it.
        for (const timer of [...timers].filter(({ dueAt }) => dueAt <= now)) if (timers.delete(timer)) timer.callback()
        await settle()
      }
      now = until
      await settle()
    },
    get pending() {
      return timers.size
    },
  }
}

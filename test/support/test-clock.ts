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
  /** Resolves as soon as so many timers wait: the event before `advance`, where what sets a timer takes time to get there. */
  untilPending(count?: number): Promise<void>
}

interface Timer {
  /** On a stopwatch that only `advance` moves. */
  readonly dueAt: number
  readonly callback: () => void
}

/**
 * Lets everything that waits for nothing but its turn have it: microtasks, hashes in the thread pool, network events that
 * have come in. What still has to come over the network is an event of the server, not of time.
 */
export async function settle(): Promise<void> {
  await crypto.subtle.digest('SHA-256', new Uint8Array())
  await turn()
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
}

/** Starts at an instant that is like any other. */
export function createTestClock(startAt: number = Date.UTC(2026, 0, 1)): TestClock {
  let elapsed = 0
  let origin = startAt
  let wallOffset = 0
  const timers = new Set<Timer>()
  const watchers = new Map<() => void, number>()
  const now = (): number => origin + elapsed
  return {
    now,
    wallTime: () => now() + wallOffset,
    setTimer(callback, delayMs) {
      const timer = { dueAt: elapsed + delayMs, callback }
      timers.add(timer)
      for (const [resolve, count] of watchers) if (timers.size >= count && watchers.delete(resolve)) resolve()
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
        await turn()
      }
      elapsed = until
      await turn()
    },
    leap(ms) {
      if (ms < 0) wallOffset += ms
      else origin += ms
    },
    get pending() {
      return timers.size
    },
    untilPending(count = 1) {
      if (timers.size >= count) return Promise.resolve()
      return new Promise((resolve) => watchers.set(resolve, count))
    },
  }
}

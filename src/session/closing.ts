import { type Clock, delay, type RunDetached } from '../util/index.ts'

/** How a manager comes to its end. */
export interface Closing {
  /** Whether the manager closes: what is tried again and again is tried once more. */
  readonly hasBegun: boolean
  /** Whether nobody waits any more: from then on no refresh token is spent, for nobody might keep what comes of it. */
  readonly isOver: boolean
  /** Waits before another try; not when the manager closes. */
  pause(ms: number): Promise<void>
  /** Has `close` wait for something that a caller waits for. */
  during<T>(work: Promise<T>): Promise<T>
  /** Does something that nobody waits for but `close`, and whose failure nobody hears of. */
  afterwards(task: () => Promise<void>): void
}

/** What is closed, and how. */
export interface ClosingOptions {
  readonly clock: Clock
  readonly runDetached: RunDetached
  /** So long `close` waits. */
  readonly closeMs: number
}

/** The end of a manager that somebody else may bring about. */
export interface ClosingManager extends Closing {
  /** Ends pauses, and waits for what is under way: first for what is given, then for what came of that. */
  close(settled: () => Promise<unknown>): Promise<void>
}

/** What is under way in one manager beside its refreshes, and its end. */
export function createClosing({ clock, runDetached, closeMs }: ClosingOptions): ClosingManager {
  const pauses = new Set<AbortController>()
  const running = new Set<Promise<unknown>>()
  let hasBegun = false
  let isOver = false

  function keep(work: Promise<unknown>): void {
    const done = work
      .catch(() => {})
      .finally(() => {
        running.delete(done)
      })
    running.add(done)
  }

  async function settle(settled: () => Promise<unknown>): Promise<void> {
    await settled()
    while (running.size > 0) await Promise.all(running)
  }

  return {
    get hasBegun() {
      return hasBegun
    },
    get isOver() {
      return isOver
    },
    async pause(ms) {
      if (hasBegun) return
      // One for each: a signal that many listen to is taken for a leak.
      const cut = new AbortController()
      pauses.add(cut)
      await delay(clock, ms, cut.signal).catch(() => {})
      pauses.delete(cut)
    },
    during(work) {
      keep(work)
      return work
    },
    afterwards: (task) => keep(runDetached(task)),
    async close(settled) {
      hasBegun = true
      for (const cut of pauses) cut.abort()
      const done = new AbortController()
      const patience = delay(clock, closeMs, done.signal).catch(() => {})
      await Promise.race([settle(settled), patience])
      isOver = true
      done.abort()
      await patience
    },
  }
}

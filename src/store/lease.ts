import type { Clock } from '../util/index.ts'

/** A lock that is held, and what keeps it. */
export interface HeldLock {
  /** Whether the lock is still ours, and if so for another `leaseMs`. */
  readonly renew: () => Promise<boolean>
  readonly clock: Clock
  readonly leaseMs: number
  /** When the command was sent that took the lock: the lease began then or later. */
  readonly takenAt: number
  readonly onLost: () => void
  /** Aborts when the lock is known to be gone. */
  readonly gone?: AbortSignal | undefined
}

/** A lease under renewal. */
export interface KeptLease {
  /** Stops the renewal; tells whether the loss has been told already. */
  end(): { readonly isLost: boolean }
}

/** So often within one lease it is renewed. */
const RENEWALS = 3

/**
 * Renews a lease until its end is asked for or it is lost: the server says so, or does not answer until the time is up
 * by this machine's clock. A process that was stopped for longer than the lease asks as soon as it runs again.
 */
export function keepLease({ renew, clock, leaseMs, takenAt, onLost, gone }: HeldLock): KeptLease {
  let until = takenAt + leaseMs
  let state: 'held' | 'lost' | 'ended' = 'held'
  let cancel = schedule(leaseMs / RENEWALS)
  gone?.addEventListener('abort', lose, { once: true })
  if (gone?.aborted) lose()

  function schedule(afterMs: number): () => void {
    return clock.setTimer(() => void attempt(), afterMs)
  }
  async function attempt(): Promise<void> {
    const askedAt = clock.now()
    // No answer is no verdict: the lock may well be ours until the lease is over.
    const answer = await renew().catch(() => undefined)
    if (state !== 'held') return
    if (answer === true) until = askedAt + leaseMs
    const leftMs = until - clock.now()
    if (answer === false || leftMs <= 0) lose()
    else cancel = schedule(Math.min(leaseMs / RENEWALS, leftMs))
  }
  function lose(): void {
    if (state !== 'held') return
    state = 'lost'
    cancel()
    onLost()
  }

  return {
    end() {
      const isLost = state === 'lost'
      state = 'ended'
      cancel()
      gone?.removeEventListener('abort', lose)
      return { isLost }
    },
  }
}

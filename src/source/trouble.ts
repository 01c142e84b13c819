import { type AccessToken, isEvertokenError } from '../token/index.ts'
import { admitRejection, type FailureMemory, nextAttemptAt, type RejectionMemory, retryAtOf } from './back-off.ts'
import type { Flight } from './flight.ts'

/** When something happened, and what was drawn for it. */
interface Moment {
  readonly now: number
  /** A number in [0, 1). */
  readonly jitter: number
}

/** While a server is left alone the others' tokens are looked for so often. */
const LOOK_MS = 1000

/** What a slot knows beyond its token; there only while something is going on, since there can be many slots. */
export class Trouble {
  flight: Flight | undefined
  /** Until when callers wait their turn, because the last token could not be kept. */
  pauseUntil = 0
  #lookedAt = Number.NEGATIVE_INFINITY
  #failure: FailureMemory | undefined
  #rejection: RejectionMemory | undefined

  /** What the last request failed with, if it failed. */
  get failure(): FailureMemory | undefined {
    return this.#failure
  }

  /** Takes note of a request that failed. */
  failed({ proof }: Flight, error: unknown, { now, jitter }: Moment): void {
    // An assertion that one caller brought along says nothing about those of others, an outage does.
    if (proof !== undefined && isEvertokenError(error) && !error.retryable) return
    this.#failure = { error, count: (this.#failure?.count ?? 0) + 1, at: now, jitter }
  }

  /** Whether another refused token is worth a renewal; takes note of it then. */
  admits(now: number): boolean {
    const admitted = admitRejection(this.#rejection, now)
    if (admitted === undefined) return false
    this.#rejection = admitted
    return true
  }

  /** Whether it is time to look for what another process may have got meanwhile; takes note of it then. */
  looks(now: number): boolean {
    if (now - this.#lookedAt < LOOK_MS) return false
    this.#lookedAt = now
    return true
  }

  /** What is left of it once there is a token that is kept. */
  get remains(): Trouble | undefined {
    if (this.#rejection === undefined) return undefined
    const remains = new Trouble()
    remains.#rejection = this.#rejection
    return remains
  }

  /** Whether it is too early to ask again. What a server wishes binds everybody; the rest only whose request failed. */
  isTooEarly({ now, proof, held }: { now: number; proof: object | undefined; held: AccessToken | undefined }): boolean {
    const failure = this.#failure
    if (failure === undefined) return false
    if (proof !== undefined && retryAtOf(failure.error) === undefined) return false
    return now < nextAttemptAt(failure, held !== undefined && now < held.expiresAt)
  }
}

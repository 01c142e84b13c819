import type { Outcome } from '../telemetry/index.ts'
import { type AccessToken, ConfigurationError, type GetTokenOptions, type TokenSource } from '../token/index.ts'
import { describe, type RunDetached, waitFor } from '../util/index.ts'

/** One token request that all callers of a slot share. */
export interface Flight {
  readonly promise: Promise<AccessToken>
  readonly abort: AbortController
  /** What proves the client for this request, where a caller brought it along. */
  readonly proof: object | undefined
  /** Whether it was made to get a new token although there was one. */
  readonly isForced: boolean
  /** Whether it was made to ask if the token that is held still counts, and may well bring the same one. */
  readonly isCheck: boolean
  /** Where its token came from. */
  readonly outcome: Outcome
  /** How many callers have joined; none, if it renews behind them. */
  callers: number
}

/** What the source of a flight is told beside what every source is told. */
export interface FlightOptions extends GetTokenOptions {
  /** Whether somebody was refused with the token that is held, and does not only renew it in time. */
  readonly isRefused?: boolean | undefined
  /** A token that is good unless a shared store says otherwise; it is the answer then. */
  readonly doubted?: AccessToken | undefined
  /** Told when a shared store says that the token which is held was deleted. */
  readonly onDeleted?: (() => void) | undefined
  /** Told where the token came from. */
  readonly outcome?: Outcome | undefined
}

/** What a flight is made for, and who hears of its end. */
export interface FlightPlan extends Pick<Flight, 'proof' | 'isForced' | 'isCheck'> {
  readonly inner: TokenSource
  /** The token that the source is not to give again, or is to say whether it still counts. */
  readonly known: AccessToken | undefined
  readonly isRefused: boolean
  readonly onDeleted: (flight: Flight) => void
  readonly land: (flight: Flight, token: AccessToken) => void
  readonly crash: (flight: Flight, error: unknown) => void
}

/** Starts a request. It lands before any caller hears of it, and like the request itself in nobody's context. */
export function launch(runDetached: RunDetached, plan: FlightPlan): Flight {
  const { inner, known, isRefused, proof, isForced, isCheck, land, crash } = plan
  const abort = new AbortController()
  const outcome: Outcome = { cache: 'miss' }
  const options: FlightOptions = {
    signal: abort.signal,
    rejected: isCheck ? undefined : known,
    doubted: isCheck ? known : undefined,
    isRefused,
    forceRenewal: isForced,
    onDeleted: () => plan.onDeleted(flight),
    outcome,
  }
  const promise = runDetached(async () => {
    try {
      const token = assertToken(await inner.getToken(options))
      land(flight, token)
      return token
    } catch (error) {
      crash(flight, error)
      throw error
    }
  })
  // A renewal behind its callers has nobody else who listens.
  promise.catch(() => {})
  const flight: Flight = { promise, abort, proof, isForced, isCheck, outcome, callers: 0 }
  return flight
}

/** How one caller waits. */
export interface Passenger {
  readonly signal: AbortSignal | undefined
  /** Told where the token came from. */
  readonly outcome: Outcome | undefined
}

/** One caller more; an abort takes it back, so that a request which nobody waits for can be ended. */
export function join(flight: Flight, { signal, outcome }: Passenger): Promise<AccessToken> {
  if (outcome !== undefined)
    flight.promise.then(
      () => Object.assign(outcome, flight.outcome),
      () => {},
    )
  flight.callers++
  if (signal === undefined) return flight.promise
  const leave = (): void => {
    flight.callers--
  }
  signal.addEventListener('abort', leave, { once: true })
  return waitFor(flight.promise, signal).finally(() => signal.removeEventListener('abort', leave))
}

/** Waits for the end of a flight, however it ends. */
export function ended({ promise }: Flight, signal: AbortSignal | undefined): Promise<void> {
  const end = promise.then(
    () => {},
    () => {},
  )
  return waitFor(end, signal)
}

/** A source that gives no token at all is a mistake of whoever wrote it. */
function assertToken(token: AccessToken): AccessToken {
  if (typeof Object(token).accessToken === 'string' && typeof token.expiresAt === 'number') return token
  throw new ConfigurationError(`expected a source to give an access token, got ${describe(token)}`, {
    code: 'source_invalid',
  })
}

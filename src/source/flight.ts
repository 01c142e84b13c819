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
  /** How many callers have joined; none, if it renews behind them. */
  callers: number
}

/** What the source of a flight is told beside what every source is told. */
export interface FlightOptions extends GetTokenOptions {
  /** Whether somebody was refused with the token that is held, and does not only renew it in time. */
  readonly isRefused?: boolean | undefined
}

/** What a flight is made for, and who hears of its end. */
export interface FlightPlan extends Pick<Flight, 'proof' | 'isForced'> {
  readonly inner: TokenSource
  /** A token that the source is not to give again. */
  readonly rejected: AccessToken | undefined
  readonly isRefused: boolean
  readonly land: (flight: Flight, token: AccessToken) => void
  readonly crash: (flight: Flight, error: unknown) => void
}

/** Starts a request. It lands before any caller hears of it, and like the request itself in nobody's context. */
export function launch(runDetached: RunDetached, plan: FlightPlan): Flight {
  const { inner, rejected, isRefused, proof, isForced, land, crash } = plan
  const abort = new AbortController()
  const options: FlightOptions = { signal: abort.signal, rejected, isRefused, forceRenewal: isForced }
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
  const flight: Flight = { promise, abort, proof, isForced, callers: 0 }
  return flight
}

/** One caller more; an abort takes it back, so that a request which nobody waits for can be ended. */
export function join(flight: Flight, signal: AbortSignal | undefined): Promise<AccessToken> {
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

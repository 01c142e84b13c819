import type { Outcome } from '../telemetry/index.ts'
import { type AccessToken, ConfigurationError, type GetTokenOptions, type TokenSource } from '../token/index.ts'
import { describe, type RunDetached, waitFor } from '../util/index.ts'
import type { ObtainedToken } from './stored-token.ts'

/** What a flight is for. `check`: to hear whether the token that is held still counts. `look`: to find one of another process, and to ask no server. */
export type FlightKind = 'renewal' | 'forced' | 'check' | 'look'

/** One token request that all callers of a slot share. */
export interface Flight {
  readonly promise: Promise<AccessToken>
  readonly abort: AbortController
  /** What proves the client for this request, where a caller brought it along. */
  readonly proof: object | undefined
  readonly kind: FlightKind
  readonly landing: Landing
  /** How many callers have joined; none, if it renews behind them. */
  callers: number
  /** Whether one of them was refused with the token that is held. */
  isRefused: boolean
}

/** Where a token came from, told by whoever knows. */
export interface Landing {
  cache: 'l2' | 'miss'
  /** When it was obtained, where that was not now. */
  obtainedAt?: number | undefined
}

/** The token that is in memory, as far as a shared store is concerned. */
export interface HeldToken extends ObtainedToken {
  /** When the store was last asked about it. */
  readonly checkedAt: number
}

/** What the source of a flight is told beside what every source is told. */
export interface FlightOptions extends GetTokenOptions {
  /** Whether somebody was refused with the token that is held, and does not only renew it in time. */
  readonly isRefused?: (() => boolean) | undefined
  readonly held?: HeldToken | undefined
  /** Whether the token that is held is the answer unless a shared store says otherwise. */
  readonly isCheck?: boolean | undefined
  /** Thrown instead of asking a server: it is too early for that. */
  readonly pausedBy?: unknown
  /** Told when a shared store says that the token which is held was deleted. */
  readonly onDeleted?: (() => void) | undefined
  readonly landing?: Landing | undefined
}

/** What a flight is made for, and who hears of its end. */
export interface FlightPlan extends Pick<FlightOptions, 'held' | 'rejected' | 'pausedBy'> {
  readonly isRefused: boolean
  readonly inner: TokenSource
  readonly proof: object | undefined
  readonly kind: FlightKind
  readonly onDeleted: (flight: Flight) => void
  readonly land: (flight: Flight, token: AccessToken) => void
  readonly crash: (flight: Flight, error: unknown) => void
}

/** Starts a request. It lands before any caller hears of it, and like the request itself in nobody's context. */
export function launch(runDetached: RunDetached, plan: FlightPlan): Flight {
  const { inner, held, rejected, pausedBy, isRefused, proof, kind, land, crash } = plan
  const abort = new AbortController()
  const landing: Landing = { cache: 'miss' }
  const options: FlightOptions = {
    signal: abort.signal,
    rejected: kind === 'check' ? undefined : rejected,
    forceRenewal: kind === 'forced',
    isRefused: () => flight.isRefused,
    held,
    isCheck: kind === 'check',
    pausedBy,
    onDeleted: () => plan.onDeleted(flight),
    landing,
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
  const flight: Flight = { promise, abort, proof, kind, landing, callers: 0, isRefused }
  return flight
}

/** How one caller waits. */
export interface Passenger {
  readonly signal: AbortSignal | undefined
  /** Told where the token came from. */
  readonly outcome: Outcome | undefined
  /** The token that a resource server refused to this caller. */
  readonly rejected: AccessToken | undefined
}

/** One caller more; an abort takes it back, so that a request which nobody waits for can be ended. */
export function join(flight: Flight, { signal, outcome, rejected }: Passenger): Promise<AccessToken> {
  flight.callers++
  if (rejected !== undefined) flight.isRefused = true
  const joined = signal === undefined ? flight.promise : leaving(flight, signal)
  if (outcome === undefined) return joined
  return joined.then((token) => {
    outcome.cache = flight.landing.cache
    return token
  })
}

function leaving(flight: Flight, signal: AbortSignal): Promise<AccessToken> {
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

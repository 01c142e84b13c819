import type { ClientAssertion } from '../token/index.ts'
import { type Clock, waitFor } from '../util/index.ts'
import type { JwtDates } from './assertion-check.ts'

/** An assertion that has been fetched, and what its reuse depends on. */
export interface Fetched {
  readonly assertion: ClientAssertion
  readonly dates: JwtDates | undefined
}

/** Where an assertion is wanted. */
export interface Wanted {
  /** Equal keys want equal assertions. */
  readonly key: string
  readonly clock: Clock
  readonly signal: AbortSignal | undefined
}

/** Gives assertions, kept ones where that is allowed. */
export interface AssertionCache {
  get(wanted: Wanted, fetchOne: () => Promise<Fetched>): Promise<ClientAssertion>
}

interface Kept {
  readonly assertion: ClientAssertion
  /** By the wall clock, to which `exp` belongs. */
  readonly keepUntil: number
}

/** Assertions for more servers than this are not kept at once; the one that was kept first goes. */
const MAX_KEPT = 32
const MAX_MARGIN_MS = 30_000
const MARGIN_SHARE = 0.2

/**
 * Keeps assertions without `jti` until shortly before they expire, and shares one fetch among calls that overlap. An assertion
 * with a `jti` is for one use (RFC 7523 section 3): whoever asked for it gets it, and everybody else one of their own.
 */
export function assertionCache(): AssertionCache {
  const kept = new Map<string, Kept>()
  const flights = new Map<string, Promise<Fetched>>()

  function launch({ key, clock }: Wanted, fetchOne: () => Promise<Fetched>): Promise<Fetched> {
    const flight = fetchOne()
      .then((fetched) => {
        const keepUntil = keepUntilOf(fetched, clock.wallTime())
        kept.delete(key)
        if (keepUntil !== undefined) kept.set(key, { assertion: fetched.assertion, keepUntil })
        for (const oldest of kept.keys()) if (kept.size > MAX_KEPT) kept.delete(oldest)
        return fetched
      })
      .finally(() => {
        if (flights.get(key) === flight) flights.delete(key)
      })
    return flight
  }

  return {
    async get(wanted, fetchOne) {
      const { key, clock, signal } = wanted
      const known = kept.get(key)
      if (known !== undefined && clock.wallTime() < known.keepUntil) return known.assertion
      // No await between the look and the claim: that is what makes it one flight.
      const shared = flights.get(key)
      if (shared === undefined) {
        const own = launch(wanted, fetchOne)
        flights.set(key, own)
        return (await waitFor(own, signal)).assertion
      }
      const { assertion, dates } = await waitFor(shared, signal)
      if (dates !== undefined && dates.jti === undefined) return assertion
      return (await waitFor(fetchOne(), signal)).assertion
    },
  }
}

/** Until when an assertion is served again; `undefined` where it must not be. */
function keepUntilOf({ dates }: Fetched, now: number): number | undefined {
  if (dates === undefined || dates.jti !== undefined || dates.exp === undefined) return undefined
  const expiresAt = dates.exp * 1000
  const lifetimeMs = expiresAt - (dates.iat === undefined ? now : dates.iat * 1000)
  return expiresAt - Math.min(MAX_MARGIN_MS, Math.max(lifetimeMs, 0) * MARGIN_SHARE)
}

import type { Random } from '../util/index.ts'

/** When a token is renewed, before it expires. */
export interface RenewalWindows {
  /**
   * Soft edge: so long before expiry a renewal starts behind the callers. Default 5 minutes. Never more than a fifth of the
   * token's lifetime.
   */
  readonly renewBeforeMs: number
  /** Hard edge: so long before expiry callers wait for the renewal. Default 10 s. Never more than half of the soft window. */
  readonly waitBeforeMs: number
}

/** The defaults of {@link RenewalWindows}. */
export const RENEWAL_WINDOWS: RenewalWindows = { renewBeforeMs: 5 * 60 * 1000, waitBeforeMs: 10 * 1000 }

const SOFT_SHARE = 1 / 5
/** The soft edge is moved ahead by up to this share of its window, so that a fleet does not renew together. */
const JITTER_SHARE = 1 / 4

/** From when on a token that is received `now` is renewed behind its callers, in proportion to the life that it still has. */
export function softEdge(
  { now, expiresAt }: { readonly now: number; readonly expiresAt: number },
  { renewBeforeMs }: RenewalWindows,
  random: Random,
): number {
  const softMs = Math.min(renewBeforeMs, (expiresAt - now) * SOFT_SHARE)
  return expiresAt - softMs * (1 + JITTER_SHARE * random())
}

/**
 * From when on callers wait: never before half of the soft window has passed. It follows from what a slot keeps anyway, for there
 * can be very many slots.
 */
export function hardEdge(
  { softAt, expiresAt }: { readonly softAt: number; readonly expiresAt: number },
  { waitBeforeMs }: RenewalWindows,
): number {
  return expiresAt - Math.min(waitBeforeMs, (expiresAt - softAt) / 2)
}

/** The life of a token that others have, too. */
export interface SharedLife {
  /** From here on it is renewed; 0 when nobody trusts it any more. */
  readonly softAt: number
  readonly obtainedAt: number
  /** When the others were last asked about it. */
  readonly checkedAt: number
}

/** A check begins one to two of these shares before its time is over, at random, so that a fleet does not ask together. */
const CHECK_SHARE = 1 / 8

/** When a token that was obtained or checked `now`, and may be in memory for `memoryMs`, is compared with the store: behind the callers. */
export function checkEdge(now: number, memoryMs: number, random: Random): number {
  return now + memoryMs * (1 - CHECK_SHARE * (1 + random()))
}

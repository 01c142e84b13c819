import type { Random } from '../util/index.ts'

/** When a token is renewed, before it expires. */
export interface RenewalWindows {
  /**
   * Soft edge: so long before expiry a renewal starts behind the callers. Default 5 minutes. Never more than a fifth of the
   * token's lifetime.
   */
  readonly renewBeforeMs: number
  /** Hard edge: so long before expiry callers wait for the renewal. Default 10 s. Never more than a tenth of the lifetime. */
  readonly waitBeforeMs: number
}

/** The defaults of {@link RenewalWindows}. */
export const RENEWAL_WINDOWS: RenewalWindows = { renewBeforeMs: 5 * 60 * 1000, waitBeforeMs: 10 * 1000 }

const SOFT_SHARE = 1 / 5
const HARD_SHARE = 1 / 10
/** The soft edge is moved ahead by up to this share of its window, so that a fleet does not renew together. */
const JITTER_SHARE = 1 / 4

/** The instants from which on a token is renewed behind, and waited for. */
export interface RenewalEdges {
  readonly softAt: number
  readonly hardAt: number
}

/** Both edges of a token that is received `now`, in proportion to the life that it still has. */
export function renewalEdges(
  { now, expiresAt }: { readonly now: number; readonly expiresAt: number },
  { renewBeforeMs, waitBeforeMs }: RenewalWindows,
  random: Random,
): RenewalEdges {
  const lifetimeMs = expiresAt - now
  const softMs = Math.min(renewBeforeMs, lifetimeMs * SOFT_SHARE)
  const hardMs = Math.min(waitBeforeMs, lifetimeMs * HARD_SHARE)
  const softAt = expiresAt - softMs * (1 + JITTER_SHARE * random())
  return { softAt, hardAt: Math.max(softAt, expiresAt - hardMs) }
}

/** How long tokens are taken to live. */
export interface TokenLifetimeLimits {
  /** The lifetime of a token whose server does not say (`expires_in` is only recommended). Default 5 minutes. */
  readonly assumedMs: number
  /** Longer lifetimes are cut to this. Default 24 hours. */
  readonly maximumMs: number
}

/** The defaults of {@link TokenLifetimeLimits}. */
export const LIFETIME_LIMITS: TokenLifetimeLimits = { assumedMs: 5 * 60 * 1000, maximumMs: 24 * 60 * 60 * 1000 }

const DIGITS = /^\d+$/

/**
 * `expires_in` (RFC 6749 section 5.1) in milliseconds: a number of seconds, also as a text of digits as some servers send it.
 *
 * @returns `undefined` for what is no lifetime: zero, negative, a fraction below one, infinite, any other type.
 */
export function lifetimeFrom(expiresIn: unknown, { assumedMs, maximumMs }: TokenLifetimeLimits): number | undefined {
  if (expiresIn === undefined) return assumedMs
  const seconds = typeof expiresIn === 'string' && DIGITS.test(expiresIn) ? Number(expiresIn) : expiresIn
  if (typeof seconds !== 'number' || !Number.isFinite(seconds) || seconds < 1) return undefined
  return Math.min(seconds * 1000, maximumMs)
}

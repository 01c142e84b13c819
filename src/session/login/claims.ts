import { idTokenClaims } from '../../oauth/index.ts'
import { errorName } from '../../telemetry/index.ts'
import { ConfigurationError } from '../../token/index.ts'
import { type Awaitable, withDeadline } from '../../util/index.ts'
import type { SessionEnvironment } from '../session-environment.ts'
import { changedSet, type TokenSet } from '../token-set/token-set.ts'
import { type Claims, keptClaims } from './kept-claims.ts'

/** What a {@link ClaimsTransform} is told after a refresh. */
export interface ClaimsChange {
  readonly clientName: string
  readonly subject: string
  /** Claims of the ID token that came with the refresh; those of the one before where none came. */
  readonly idTokenClaims: Readonly<Record<string, unknown>>
  /** What was made of them before. */
  readonly claims: Readonly<Record<string, unknown>> | undefined
}

/**
 * Makes of a user's claims what the application wants to keep: a plain object that JSON can hold, of at most 16 KiB, or nothing. A copy of it is kept with the tokens.
 */
export type ClaimsTransform = (change: ClaimsChange) => Awaitable<Readonly<Record<string, unknown>> | undefined>

/** A new refresh token is nowhere but in memory meanwhile. */
const TRANSFORM_MS = 2000

/** How long a transform may take, and what it is called when it gives no claims. */
export interface TransformRule {
  readonly ms: number
  readonly code: string
}

/**
 * What the application makes of claims.
 *
 * @throws ConfigurationError with code `claims_late`, or with that of the rule; and whatever the application throws.
 */
export async function transformed(
  { oauth, transformClaims }: SessionEnvironment,
  change: ClaimsChange,
  { ms, code }: TransformRule,
): Promise<Claims | undefined> {
  if (transformClaims === undefined) return change.claims
  const { clientName, clock } = oauth
  const wrong = (expected: string, details: { readonly code: string; readonly cause?: unknown }): ConfigurationError =>
    new ConfigurationError(`client "${clientName}", transformClaims: expected ${expected}`, details)
  const error = (): Error => wrong(`claims within ${ms} ms, got none`, { code: 'claims_late' })
  const made = await withDeadline(async () => transformClaims(change), { clock, ms, error })
  return keptClaims(made, (expected, cause) => wrong(expected, { code, cause }))
}

/** A refreshed set with what the application makes of its claims. The set is worth more: where that fails or takes long, claims stay as they were. */
export async function withClaims(env: SessionEnvironment, set: TokenSet): Promise<TokenSet> {
  if (env.transformClaims === undefined) return set
  const { clientName } = env.oauth
  const { subject, claims, idToken } = set
  try {
    const change = { clientName, subject, idTokenClaims: idTokenClaims(idToken) ?? {}, claims }
    return changedSet(set, { claims: await transformed(env, change, { ms: TRANSFORM_MS, code: 'claims_invalid' }) })
  } catch (cause) {
    env.telemetry.note({ name: 'claims_failed', client: clientName, error: errorName(cause) })
    return set
  }
}

import { idTokenClaims } from '../oauth/index.ts'
import { errorName } from '../telemetry/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { type Awaitable, withDeadline } from '../util/index.ts'
import type { SessionEnvironment } from './session-environment.ts'
import { changedSet, type TokenSet } from './token-set.ts'

/** What a {@link ClaimsTransform} is told after a refresh. */
export interface ClaimsChange {
  readonly clientName: string
  readonly subject: string
  /** Claims of the ID token that came with the refresh; those of the one before where none came. */
  readonly idTokenClaims: Readonly<Record<string, unknown>>
  /** What was made of them before. */
  readonly claims: Readonly<Record<string, unknown>> | undefined
}

/** Makes of a user's claims what the application wants to keep; the result is kept with the tokens. */
export type ClaimsTransform = (change: ClaimsChange) => Awaitable<Readonly<Record<string, unknown>>>

/** A new refresh token is nowhere but in memory meanwhile. */
const TRANSFORM_MS = 2000

/** A refreshed set with what the application makes of its claims. The set is worth more: where that fails or takes long, claims stay as they were. */
export async function withClaims(
  { oauth, telemetry, transformClaims }: SessionEnvironment,
  set: TokenSet,
): Promise<TokenSet> {
  if (transformClaims === undefined) return set
  const { clientName, clock } = oauth
  const { subject, claims, idToken } = set
  const error = (): Error =>
    new ConfigurationError(`client "${clientName}": expected transformClaims to end within ${TRANSFORM_MS} ms`, {
      code: 'claims_late',
    })
  try {
    const change = { clientName, subject, idTokenClaims: idTokenClaims(idToken) ?? {}, claims }
    const made = await withDeadline(async () => transformClaims(change), { clock, ms: TRANSFORM_MS, error })
    return changedSet(set, { claims: made })
  } catch (cause) {
    telemetry.note({ name: 'claims_failed', client: clientName, error: errorName(cause) })
    return set
  }
}

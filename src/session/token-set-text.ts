import { createAccessToken, isTokenText } from '../token/index.ts'
import { createTokenSet, type TokenSet, type UserAccessToken } from './token-set.ts'

/** Texts of another version are passed over. */
const VERSION = 1

/** A set as it rests in a session store or a cookie: to be encrypted by whoever keeps it. */
export function tokenSetText(set: TokenSet): string {
  const {
    generation,
    subject,
    issuer,
    refreshToken,
    refreshTokenExpiresAt,
    sessionExpiresAt,
    jkt,
    idToken,
    scope,
    claims,
    claimedUntil,
    startedAt,
  } = set
  const accessTokens = set.accessTokens.map(({ shape, token, renewAt }) => {
    const { accessToken, tokenType, expiresAt, certificateThumbprint } = token
    const bound = { jkt: token.jkt, certificateThumbprint }
    return { shape, renewAt, accessToken, tokenType, expiresAt, scope: token.scope, ...bound }
  })
  const lineage = {
    generation,
    client: set.client,
    subject,
    issuer,
    startedAt,
    signedInAt: set.signedInAt,
    claimedUntil,
    endedBecause: set.endedBecause,
  }
  return JSON.stringify({
    version: VERSION,
    ...lineage,
    refreshToken,
    refreshTokenExpiresAt,
    sessionExpiresAt,
    jkt,
    idToken,
    scope,
    claims,
    accessTokens,
  })
}

/** The set in a text; `undefined` for what this library does not write. */
export function tokenSetFrom(text: unknown): TokenSet | undefined {
  if (typeof text !== 'string') return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const members = Object(value) as Record<string, unknown>
  const { version, generation, client, subject, startedAt, accessTokens, claims } = members
  const { refreshTokenExpiresAt, sessionExpiresAt, claimedUntil, signedInAt } = members
  if (version !== VERSION || !Number.isSafeInteger(generation) || typeof subject !== 'string') return undefined
  if (typeof client !== 'string') return undefined
  if (
    typeof startedAt !== 'number' ||
    !Array.isArray(accessTokens) ||
    ![refreshTokenExpiresAt, sessionExpiresAt, claimedUntil, signedInAt].every(isNumberOrAbsent)
  ) {
    return undefined
  }
  const { issuer, refreshToken, jkt, idToken, scope, endedBecause } = members
  if (![issuer, refreshToken, jkt, idToken, scope, endedBecause].every(isTextOrAbsent)) return undefined
  if (claims !== undefined && (typeof claims !== 'object' || claims === null)) return undefined
  const tokens = accessTokens.map(userTokenFrom)
  if (!tokens.every((token) => token !== undefined)) return undefined
  // Each member was looked at above.
  return createTokenSet({ ...(members as unknown as TokenSet), accessTokens: tokens })
}

function userTokenFrom(value: unknown): UserAccessToken | undefined {
  const members = Object(value) as Record<string, unknown>
  const { shape, renewAt, accessToken, tokenType, expiresAt, scope, jkt, certificateThumbprint } = members
  if (typeof shape !== 'string' || typeof renewAt !== 'number' || typeof expiresAt !== 'number') return undefined
  if (!isTokenText(accessToken) || ![scope, jkt, certificateThumbprint].every(isTextOrAbsent)) return undefined
  // A token is bound to a key or it is not (RFC 9449 section 7); what is neither was not written here.
  const boundType = jkt === undefined ? 'Bearer' : 'DPoP'
  if (tokenType !== boundType) return undefined
  const bound = { jkt, certificateThumbprint } as { jkt?: string; certificateThumbprint?: string }
  const token = { accessToken, tokenType: boundType, expiresAt, scope: scope as string | undefined, ...bound } as const
  return { shape, renewAt, token: createAccessToken(token) }
}

function isTextOrAbsent(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string'
}

function isNumberOrAbsent(value: unknown): value is number | undefined {
  return value === undefined || typeof value === 'number'
}

import { createAccessToken, isTokenText } from '../../token/index.ts'
import { createTokenSet, type TokenSet, type UserAccessToken } from './token-set.ts'
import { isTextOrAbsent, tokenSetFault } from './token-set-fault.ts'

/** Texts of another version are passed over. */
const VERSION = 1

/**
 * A set as text, for an application's own {@link SessionTokens}: all tokens are in it in clear, so whoever keeps it has to encrypt it. {@link tokenSetFrom} reads it
 * again; `JSON.stringify` of a set leaves its tokens out.
 */
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

/**
 * The set in a text of {@link tokenSetText}; `undefined` for anything else, so that what another version has written, or somebody has cut, counts as no session.
 */
export function tokenSetFrom(text: unknown): TokenSet | undefined {
  if (typeof text !== 'string') return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  const members = Object(value) as Record<string, unknown>
  const { version, accessTokens } = members
  if (version !== VERSION || !Array.isArray(accessTokens)) return undefined
  const set = { ...members, accessTokens: accessTokens.map(userTokenFrom) }
  // Each member is looked at for that.
  return tokenSetFault(set) === undefined ? createTokenSet(set as unknown as TokenSet) : undefined
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

import { isHeaderReady } from '../../token/index.ts'

/** What is expected of something that is no set; nothing where it is one. */
export function tokenSetFault(set: unknown): string | undefined {
  if (typeof set !== 'object' || set === null) return 'a token set'
  const { generation, client, subject, startedAt, accessTokens, claims, ...rest } = set as Record<string, unknown>
  // Named: a set keeps its secrets where no spread finds them.
  const { refreshToken, idToken } = set as Record<string, unknown>
  if (!Number.isSafeInteger(generation)) return 'generation to be a whole number'
  if (typeof client !== 'string' || typeof subject !== 'string') return 'texts for client and subject'
  if (!Number.isFinite(startedAt)) return 'startedAt to be milliseconds since the epoch'
  const { refreshTokenExpiresAt, sessionExpiresAt, claimedUntil, signedInAt, issuer, jkt, scope, endedBecause } = rest
  if (![refreshTokenExpiresAt, sessionExpiresAt, claimedUntil, signedInAt].every(isNumberOrAbsent))
    return 'numbers for its instants'
  if (![refreshToken, idToken, issuer, jkt, scope, endedBecause].every(isTextOrAbsent)) return 'texts or nothing'
  if (claims !== undefined && (typeof claims !== 'object' || claims === null || Array.isArray(claims))) {
    return 'claims to be an object'
  }
  if (!Array.isArray(accessTokens)) return 'a list of accessTokens'
  // What was printed, or is JSON of it, has all but the texts of its tokens.
  return accessTokens.every(isUserToken) ? undefined : 'accessTokens with shape, renewAt and a token that has its text'
}

function isUserToken(value: unknown): boolean {
  const { shape, token, renewAt } = Object(value)
  if (typeof shape !== 'string' || !Number.isFinite(renewAt) || typeof token !== 'object' || token === null)
    return false
  const { tokenType, expiresAt, scope, jkt, certificateThumbprint } = token
  if (typeof expiresAt !== 'number' || ![scope, jkt, certificateThumbprint].every(isTextOrAbsent)) return false
  // A token is bound to a key or it is not (RFC 9449 section 7).
  return tokenType === (jkt === undefined ? 'Bearer' : 'DPoP') && isHeaderReady(token)
}

export function isTextOrAbsent(value: unknown): value is string | undefined {
  return value === undefined || typeof value === 'string'
}

function isNumberOrAbsent(value: unknown): value is number | undefined {
  return value === undefined || typeof value === 'number'
}

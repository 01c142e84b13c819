import { createAccessToken } from 'evertoken'
import { createTokenSet, type TokenSet } from 'evertoken/session'

/** When the sessions of {@link tokenSet} begin. */
export const STARTED_AT: number = Date.UTC(2026, 0, 1)

/** A set of one access token and a refresh token. */
export function tokenSet(members: Partial<TokenSet> = {}): TokenSet {
  const token = createAccessToken({ accessToken: 'access-1', tokenType: 'Bearer', expiresAt: STARTED_AT + 3_600_000 })
  return createTokenSet({
    generation: STARTED_AT,
    client: 'web',
    subject: 'alice',
    issuer: 'https://sts.example',
    refreshToken: 'refresh-1',
    accessTokens: [{ shape: 'shape', token, renewAt: STARTED_AT + 3_000_000 }],
    startedAt: STARTED_AT,
    ...members,
  })
}

/** All that a set holds, secrets included, to be compared. */
export function contentOf(set: TokenSet | undefined): unknown {
  if (set === undefined) return undefined
  const { refreshToken, idToken, accessTokens } = set
  const tokens = accessTokens.map(({ shape, renewAt, token }) => ({
    shape,
    renewAt,
    ...token,
    accessToken: token.accessToken,
  }))
  return JSON.parse(JSON.stringify({ ...set, refreshToken, idToken, accessTokens: tokens }))
}

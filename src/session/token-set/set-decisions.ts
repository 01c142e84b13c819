import { idTokenClaims, sessionExpiryIn, type TokenResponse } from '../../oauth/index.ts'
import { type AccessToken, isSameToken } from '../../token/index.ts'
import { changedSet, type TokenSet, type UserAccessToken } from './token-set.ts'

/** More writes of one session than may be under way: an end that is so far above the last one that is known is above them all. */
export const END_MARGIN = 1000

/** Which token of a set somebody wants. */
export interface Wanted {
  readonly shape: string
  /** One that a resource server refused. */
  readonly rejected?: AccessToken | undefined
  /** Whether there is a key for a token that is bound to one. */
  readonly holds: (jkt: string) => boolean
}

/** The token of a set for a request, whatever its age; one that was refused, or whose key is gone, is none. */
export function tokenFor(set: TokenSet, { shape, rejected, holds }: Wanted): UserAccessToken | undefined {
  const found = set.accessTokens.find((each) => each.shape === shape)
  if (found === undefined) return undefined
  const { token } = found
  if (token.jkt !== undefined && !holds(token.jkt)) return undefined
  return rejected !== undefined && isSameToken(token, rejected) ? undefined : found
}

/** Whether the session is over because the server has said how long it may last. */
export function hasExpired({ sessionExpiresAt }: TokenSet, now: number): boolean {
  return sessionExpiresAt !== undefined && now >= sessionExpiresAt
}

/** When the user has to sign in again at the latest, as far as the server has said. */
export function signInBy({ refreshTokenExpiresAt, sessionExpiresAt }: TokenSet): number | undefined {
  const earliest = Math.min(
    refreshTokenExpiresAt ?? Number.POSITIVE_INFINITY,
    sessionExpiresAt ?? Number.POSITIVE_INFINITY,
  )
  return Number.isFinite(earliest) ? earliest : undefined
}

/** Whether two sets are of one user. */
export function isSameUser(one: TokenSet, other: TokenSet): boolean {
  return one.subject === other.subject && one.issuer === other.issuer && one.client === other.client
}

/** The set of one user that was written last; another user's is never newer, whoever has signed in. */
export function newest(first: TokenSet, other: TokenSet | undefined): TokenSet {
  return other !== undefined && other.generation > first.generation && isSameUser(first, other) ? other : first
}

/** Whether one set comes from the other by refreshes. */
export function isSameSignIn(set: TokenSet, other: TokenSet): boolean {
  return set.startedAt === other.startedAt && isSameUser(set, other)
}

/** The newer one of two that may not be there. */
export function newestOf(first: TokenSet | undefined, second: TokenSet | undefined): TokenSet | undefined {
  return first === undefined ? second : newest(first, second)
}

/** What a refresh has brought. */
export interface Refreshed {
  readonly response: TokenResponse
  readonly shape: string
  readonly renewAt: number
  readonly now: number
  /** Whether the token is what was asked for; one that is not is nobody's. */
  readonly isGranted: boolean
}

/** What was asked for and not granted (RFC 6749 section 3.3), as one text; nothing where all of it was. */
export function missingScope(requested: string | undefined, granted: string | undefined): string | undefined {
  if (requested === undefined || granted === undefined) return undefined
  const has = new Set(granted.split(' '))
  const missing = requested.split(' ').filter((value) => !has.has(value))
  return missing.length === 0 ? undefined : missing.join(' ')
}

/** So many access tokens are kept beside the one that was just got: a set that grows with each API has no room where it rests, and its refresh token with it. */
const MAX_OTHERS = 20
/** What they may take together, in characters; records have room for four times as much. */
const MAX_LENGTH = 48 * 1024

/**
 * The set after a refresh (RFC 6749 section 6): what the answer leaves out stays as it was. Access tokens that have expired go, and so do the oldest of very many; one
 * that is wanted again is got again.
 */
export function refreshedSet(set: TokenSet, { response, shape, renewAt, now, isGranted }: Refreshed): TokenSet {
  const { token, refreshToken = set.refreshToken, idToken = set.idToken, refreshTokenExpiresAt } = response
  const others = withRoom(set.accessTokens.filter((each) => each.shape !== shape && now < each.token.expiresAt))
  return changedSet(set, {
    generation: set.generation + 1,
    refreshToken,
    refreshTokenExpiresAt: refreshTokenExpiresAt ?? set.refreshTokenExpiresAt,
    sessionExpiresAt: sessionExpiryIn(idTokenClaims(response.idToken)) ?? set.sessionExpiresAt,
    jkt: token.jkt,
    claimedUntil: undefined,
    idToken,
    accessTokens: isGranted ? [...others, { shape, token, renewAt }] : others,
  })
}

/** The newest of them, which are the last. */
function withRoom(tokens: readonly UserAccessToken[]): readonly UserAccessToken[] {
  let room = MAX_LENGTH
  let from = tokens.length
  for (const { shape, token } of tokens.slice(-MAX_OTHERS).reverse()) {
    room -= shape.length + token.accessToken.length
    if (room < 0) break
    from--
  }
  return tokens.slice(from)
}

/** The set once its refresh token is dead: its access tokens are good until they expire, and nothing comes after them. */
export function endedSet(set: TokenSet, reason: string, now: number): TokenSet {
  return changedSet(set, {
    generation: set.generation + 1,
    refreshToken: undefined,
    accessTokens: set.accessTokens.filter(({ token }) => now < token.expiresAt),
    endedBecause: reason,
  })
}

/** The set of a session that was signed out: nothing in it is good. */
export function signedOutSet(set: TokenSet): TokenSet {
  return endedSet(set, 'signed_out', Number.POSITIVE_INFINITY)
}

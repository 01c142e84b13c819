import { idTokenClaims } from '../../oauth/index.ts'
import { canonicalText, sha256 } from '../../util/index.ts'
import { clientIdIn } from '../client-mark.ts'
import type { Logout } from '../logout/logout.ts'
import type { TokenSet } from '../token-set/token-set.ts'

/** Under which names an index has the session of a set. */
export interface IndexNames {
  readonly bySubject: readonly string[]
  readonly bySid: readonly string[]
}

/**
 * The names for a set: one of the user and one of the session at the server. They are those of the client that the tokens are for: an ID token may be for others too,
 * which hear of logouts of their own.
 */
export async function indexNamesOf({ issuer, client, subject, idToken }: TokenSet): Promise<IndexNames> {
  if (issuer === undefined) return { bySubject: [], bySid: [] }
  const { sid } = idTokenClaims(idToken) ?? {}
  const told = typeof sid === 'string' && sid !== '' ? sid : undefined
  return namesOf({ issuer, clientId: clientIdIn(client), subject, sid: told })
}

/** The names under which the sessions are that a logout is about. */
export function indexNamesFor(logout: Logout): Promise<IndexNames> {
  return namesOf(logout)
}

async function namesOf({ issuer, clientId, subject, sid }: Omit<Logout, 'at'>): Promise<IndexNames> {
  return {
    bySubject: subject === undefined ? [] : [await nameOf('subject', { issuer, clientId, value: subject })],
    bySid: sid === undefined ? [] : [await nameOf('sid', { issuer, clientId, value: sid })],
  }
}

/**
 * When the user signed in by the server's clock, in milliseconds since the epoch; where nothing tells, later than any logout. `iat` of an ID token that came with a refresh
 * is that of the refresh (OpenID Connect Core section 12.2). `auth_time` is not: but it may lie before a logout in another browser, so what the sign-in left comes first.
 */
export function signedInAt({ idToken, signedInAt: kept }: TokenSet): number {
  const { auth_time, iat } = idTokenClaims(idToken) ?? {}
  const [at = Number.POSITIVE_INFINITY] = [auth_time, iat].filter((each) => typeof each === 'number')
  return kept ?? at * 1000
}

type Kind = 'subject' | 'sid'

interface Named {
  readonly issuer: string
  readonly clientId: string
  readonly value: string
}

function nameOf(kind: Kind, { issuer, clientId, value }: Named): Promise<string> {
  return sha256(canonicalText([1, 'sessions of', kind, issuer, clientId, value]))
}

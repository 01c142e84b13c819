import { idTokenClaims } from '../oauth/index.ts'
import { canonicalText, sha256 } from '../util/index.ts'
import type { Logout } from './logout.ts'
import type { TokenSet } from './token-set.ts'

/** Under which names an index has the session of a set. */
export interface IndexNames {
  readonly bySubject: readonly string[]
  readonly bySid: readonly string[]
}

/** More clients than an ID token is for. */
const MAX_AUDIENCES = 4
/** Stands for the client where there is no ID token to name it. */
const NO_CLIENT = ''

/** The names for a set: one of the user and one of the session at the server, for each client that the ID token is for. */
export async function indexNamesOf({ issuer, subject, idToken }: TokenSet): Promise<IndexNames> {
  if (issuer === undefined) return { bySubject: [], bySid: [] }
  const { aud, sid } = idTokenClaims(idToken) ?? {}
  const named = (Array.isArray(aud) ? aud : [aud]).filter((each) => typeof each === 'string').slice(0, MAX_AUDIENCES)
  const clients = named.length > 0 ? named : [NO_CLIENT]
  const namesFor = (kind: Kind, value: string): Promise<readonly string[]> =>
    Promise.all(clients.map((clientId) => nameOf(kind, { issuer, clientId, value })))
  return {
    bySubject: await namesFor('subject', subject),
    bySid: typeof sid === 'string' && sid !== '' ? await namesFor('sid', sid) : [],
  }
}

/** The names under which the sessions are that a logout is about; by subject also those whose client nobody has named. */
export async function indexNamesFor({ issuer, clientId, subject, sid }: Logout): Promise<IndexNames> {
  const subjects = subject === undefined ? [] : [clientId, NO_CLIENT]
  return {
    bySubject: await Promise.all(
      subjects.map((each) => nameOf('subject', { issuer, clientId: each, value: String(subject) })),
    ),
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

import { idTokenClaims, idTokenMismatch, lifetimeFrom, refreshExpiryFrom, sessionExpiryIn } from '../../oauth/index.ts'
import { isTokenText } from '../../token/index.ts'
import { describe } from '../../util/index.ts'
import type { UserClient } from '../user-client.ts'
import { type Claims, keptClaims, type Refuse } from './kept-claims.ts'
import { type LoginMembers, membersOf, plainMembers } from './login-response.ts'

/** What a login says, looked at. */
export interface CheckedLogin {
  readonly accessToken: string
  readonly isBound: boolean
  readonly expiresAt: number
  readonly refreshToken: string | undefined
  readonly refreshTokenExpiresAt: number | undefined
  readonly receivedAt: number
  readonly idToken: string | undefined
  /** Claims of the ID token. */
  readonly told: Claims | undefined
  readonly subject: string
  readonly scope: string | undefined
  readonly jkt: string | undefined
  readonly claims: Claims | undefined
}

/** What a login is looked at with. */
export interface LoginCheck {
  readonly client: UserClient
  /** Whose login it has to be, where that is known. */
  readonly subject: string | undefined
  readonly now: number
  readonly refuse: Refuse
}

/** Clocks of two machines differ, and so a login may have been received in what is the future here. */
const SKEW_MS = 5 * 60 * 1000
/** An instant in seconds is a thousandth of one in milliseconds. */
const TOO_SMALL = 1 / 100
/** Seconds since the epoch until the year 5138; milliseconds since 1973. */
const MAX_SECONDS = 1e11

/** Looks at all that a login says, and at nothing twice. Throws what `refuse` makes. */
export function checkedLogin(login: unknown, check: LoginCheck): CheckedLogin {
  const { refuse, now } = check
  const members = snapshotOf(login, refuse)
  const { access_token: accessToken, refresh_token: refreshToken, claims } = members
  if (!isTokenText(accessToken)) throw refuse('an access_token of printable characters')
  if (refreshToken !== undefined && !isTokenText(refreshToken)) {
    throw refuse('a refresh_token of printable characters')
  }
  const receivedAt = receivedAtIn(members, check)
  const jkt = textIn(members, 'jkt', refuse)
  const idToken = textIn(members, 'id_token', refuse)
  const told = toldBy(idToken, check)
  if ((sessionExpiryIn(told) ?? now + 1) <= now) throw refuse('session_expiry of the id_token to be in the future')
  return {
    accessToken,
    isBound: isBoundBy(members, jkt, check),
    expiresAt: expiresAtIn(members, receivedAt, check),
    refreshToken,
    refreshTokenExpiresAt: refreshExpiryFrom(plainMembers(members), receivedAt),
    receivedAt,
    idToken,
    told,
    subject: subjectIn(members, told, check),
    scope: textIn(members, 'scope', refuse),
    jkt,
    claims: typeof claims === 'function' ? undefined : keptClaims(claims, refuse),
  }
}

function snapshotOf(login: unknown, refuse: Refuse): LoginMembers {
  if (typeof login !== 'object' || login === null) throw refuse(`a login, got ${describe(login)}`)
  try {
    return membersOf(login)
  } catch (cause) {
    throw refuse('a login whose members can be read', cause)
  }
}

type TextMember = 'jkt' | 'id_token' | 'scope' | 'subject'

function textIn(members: LoginMembers, name: TextMember, refuse: Refuse): string | undefined {
  const value = members[name]
  if (value === undefined || typeof value === 'string') return value
  throw refuse(`${name} to be a text, got ${describe(value)}`)
}

function receivedAtIn({ receivedAt = undefined }: LoginMembers, { now, refuse }: LoginCheck): number {
  if (receivedAt === undefined) return now
  const isInstant = typeof receivedAt === 'number' && receivedAt >= now * TOO_SMALL && receivedAt <= now + SKEW_MS
  if (!isInstant) throw refuse('receivedAt to be milliseconds since the epoch, and not in the future')
  return receivedAt
}

function expiresAtIn({ expires_in, expires_at }: LoginMembers, receivedAt: number, check: LoginCheck): number {
  const { limits } = check.client.env.oauth
  if (expires_in !== undefined || expires_at === undefined) {
    const lifetimeMs = lifetimeFrom(expires_in, limits)
    if (lifetimeMs === undefined) throw check.refuse('expires_in to be a number of seconds')
    return receivedAt + lifetimeMs
  }
  const seconds = typeof expires_at === 'string' ? Number(expires_at) : expires_at
  if (typeof seconds !== 'number' || !(seconds > 0 && seconds < MAX_SECONDS)) {
    throw check.refuse('expires_at to be seconds since the epoch')
  }
  return Math.min(seconds * 1000, receivedAt + limits.maximumMs)
}

/** Whether the tokens are bound to a key (RFC 9449 section 5). */
function isBoundBy({ token_type = 'Bearer' }: LoginMembers, jkt: string | undefined, check: LoginCheck): boolean {
  const { refuse, client } = check
  const type = typeof token_type === 'string' ? token_type.toLowerCase() : undefined
  if (type !== 'bearer' && type !== 'dpop') throw refuse('token_type to be Bearer or DPoP')
  const isBound = type === 'dpop'
  if (jkt === '' || isBound !== (jkt !== undefined)) {
    throw refuse('jkt, the thumbprint of their key, with tokens of type DPoP, and with no others')
  }
  if (isBound && client.env.dpop === undefined) throw refuse('tokens of type Bearer for a client without dpop')
  return isBound
}

/** An ID token that is another client's, or another server's, is no login here (OpenID Connect Core section 3.1.3.7). */
function toldBy(idToken: string | undefined, { client, refuse }: LoginCheck): Claims | undefined {
  if (idToken === undefined) return undefined
  const told = idTokenClaims(idToken)
  if (told === undefined) throw refuse('id_token to be a JWT')
  const mismatch = idTokenMismatch(told, client.definition)
  if (mismatch !== undefined) throw refuse(mismatch)
  return told
}

function subjectIn(members: LoginMembers, told: Claims | undefined, check: LoginCheck): string {
  const { refuse } = check
  const subject = textIn(members, 'subject', refuse) ?? told?.sub
  if (typeof subject !== 'string' || subject === '') throw refuse('a subject: of the id_token, or by itself')
  if (told !== undefined && told.sub !== subject) throw refuse('the subject of the id_token')
  if (check.subject !== undefined && check.subject !== subject) throw refuse('a login of the subject of forSubject')
  return subject
}

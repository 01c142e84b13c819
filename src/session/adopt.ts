import { shapeOf } from '../client/index.ts'
import {
  idTokenClaims,
  lifetimeFrom,
  refreshExpiryFrom,
  sessionExpiryIn,
  type TokenLifetimeLimits,
} from '../oauth/index.ts'
import { softEdge } from '../source/index.ts'
import { assertOptions, ConfigurationError, createAccessToken, isTokenText } from '../token/index.ts'
import { createTokenSet, type TokenSet } from './token-set.ts'
import type { UserClient } from './user-client.ts'

/** What the token endpoint answered at somebody's login (RFC 6749 section 5.1), in wire names, and who signed in. */
export interface LoginResponse {
  readonly access_token: string
  readonly token_type?: string | undefined
  /** Seconds. Without it the token is taken to live for as long as the client's `assumedMs` says. */
  readonly expires_in?: number | string | undefined
  /** Milliseconds since the epoch at which the answer was received; default now. */
  readonly receivedAt?: number | undefined
  readonly refresh_token?: string | undefined
  readonly refresh_expires_in?: number | string | undefined
  readonly refresh_token_expires_in?: number | string | undefined
  readonly id_token?: string | undefined
  readonly scope?: string | undefined
  /** Who the user is, where no ID token says so. */
  readonly subject?: string | undefined
  /** Thumbprint of the key that the tokens are bound to (RFC 9449), where they are. */
  readonly jkt?: string | undefined
  /** What the application wants to keep of the user's claims. */
  readonly claims?: Readonly<Record<string, unknown>> | undefined
}

/**
 * Makes the first set of a session out of a login.
 *
 * @throws ConfigurationError with code `login_invalid`.
 */
export async function adopted(client: UserClient, login: LoginResponse): Promise<TokenSet> {
  const { env, name, definition } = client
  const { clock, limits, certificate } = env.oauth
  const now = clock.now()
  const { subject, told, lifetimeMs, isBound } = checked(`client "${name}", adopt`, login, { limits, now })
  const { access_token: accessToken, refresh_token: refreshToken, id_token: idToken, jkt } = login
  const { receivedAt = now, scope = definition.scope } = login
  const expiresAt = receivedAt + lifetimeMs
  const bound = { jkt, certificateThumbprint: certificate?.thumbprint }
  const token = createAccessToken({ accessToken, tokenType: isBound ? 'DPoP' : 'Bearer', expiresAt, scope, ...bound })
  const windows = { renewBeforeMs: env.renewBeforeMs, waitBeforeMs: 0 }
  const renewAt = softEdge({ now: receivedAt, expiresAt }, windows, env.random)
  const made = { clientName: name, subject, idTokenClaims: told ?? {}, claims: login.claims }
  return createTokenSet({
    // Higher than that of every session before it, and than the mark that the end of one has left.
    generation: Math.floor(now),
    client: client.mark,
    subject,
    issuer: typeof told?.iss === 'string' ? told.iss : definition.issuer,
    refreshToken,
    refreshTokenExpiresAt: refreshExpiryFrom(Object(login), receivedAt),
    sessionExpiresAt: sessionExpiryIn(told),
    jkt,
    idToken,
    scope,
    accessTokens: [{ shape: shapeOf(client.read()), token, renewAt }],
    startedAt: receivedAt,
    signedInAt: typeof told?.iat === 'number' ? told.iat * 1000 : undefined,
    claims: login.claims ?? (await env.transformClaims?.(made)),
  })
}

/** What a login says, looked at. */
interface CheckedLogin {
  readonly subject: string
  /** Claims of the ID token. */
  readonly told: Readonly<Record<string, unknown>> | undefined
  readonly lifetimeMs: number
  readonly isBound: boolean
}

/** What a login is looked at with. */
interface LoginCheck {
  readonly limits: TokenLifetimeLimits
  readonly now: number
}

function checked(where: string, login: LoginResponse, { limits, now }: LoginCheck): CheckedLogin {
  const refuse = (expected: string): ConfigurationError =>
    new ConfigurationError(`${where}: expected ${expected}`, { code: 'login_invalid' })
  assertOptions(where, login, Object.keys(Object(login)))
  const { access_token, token_type = 'Bearer', refresh_token, id_token, jkt } = login
  if (!isTokenText(access_token)) throw refuse('an access_token of printable characters')
  if (refresh_token !== undefined && !isTokenText(refresh_token)) {
    throw refuse('a refresh_token of printable characters')
  }
  const type = String(token_type).toLowerCase()
  if (type !== 'bearer' && type !== 'dpop') throw refuse('token_type to be Bearer or DPoP')
  const isBound = type === 'dpop'
  if (isBound !== (jkt !== undefined)) {
    throw refuse('jkt, the thumbprint of their key, with tokens of type DPoP, and with no others')
  }
  const told = idTokenClaims(id_token)
  if (id_token !== undefined && told === undefined) throw refuse('id_token to be a JWT')
  const subject = login.subject ?? told?.sub
  if (typeof subject !== 'string' || subject === '') throw refuse('a subject: of the id_token, or by itself')
  if (told !== undefined && told.sub !== subject) throw refuse('the subject of the id_token')
  if ((sessionExpiryIn(told) ?? now + 1) <= now) throw refuse('session_expiry of the id_token to be in the future')
  const lifetimeMs = lifetimeFrom(login.expires_in, limits)
  if (lifetimeMs === undefined) throw refuse('expires_in to be a number of seconds')
  return { subject, told, lifetimeMs, isBound }
}

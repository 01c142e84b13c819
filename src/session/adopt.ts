import { shapeOf } from '../client/index.ts'
import { idTokenClaims, lifetimeFrom, refreshExpiryFrom } from '../oauth/index.ts'
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

/** Makes the first set of a session out of a login. */
export async function adopted(client: UserClient, login: LoginResponse): Promise<TokenSet> {
  const { env, name, definition } = client
  const { clock } = env.oauth
  const refuse = (expected: string): never => {
    throw new ConfigurationError(`client "${name}", adopt: expected ${expected}`, { code: 'login_invalid' })
  }
  assertOptions(`client "${name}", adopt`, login, Object.keys(Object(login)))
  const { access_token, token_type = 'Bearer', expires_in, refresh_token, id_token, scope, jkt, claims } = login
  if (!isTokenText(access_token)) refuse('an access_token of printable characters')
  if (refresh_token !== undefined && !isTokenText(refresh_token)) refuse('a refresh_token of printable characters')
  const isBound = String(token_type).toLowerCase() === 'dpop'
  if (!isBound && String(token_type).toLowerCase() !== 'bearer') refuse('token_type to be Bearer or DPoP')
  if (isBound !== (jkt !== undefined))
    refuse('jkt, the thumbprint of their key, with tokens of type DPoP, and with no others')
  const told = idTokenClaims(id_token)
  if (id_token !== undefined && told === undefined) refuse('id_token to be a JWT')
  const subject = login.subject ?? told?.sub
  if (typeof subject !== 'string' || subject === '') refuse('a subject: of the id_token, or by itself')
  if (told !== undefined && told.sub !== subject) refuse('the subject of the id_token')
  const receivedAt = login.receivedAt ?? clock.now()
  const lifetimeMs = lifetimeFrom(expires_in, env.oauth.limits)
  if (lifetimeMs === undefined) refuse('expires_in to be a number of seconds')
  const expiresAt = receivedAt + Number(lifetimeMs)
  const token = createAccessToken({
    accessToken: access_token,
    tokenType: isBound ? 'DPoP' : 'Bearer',
    expiresAt,
    scope: scope ?? definition.scope,
    jkt,
    certificateThumbprint: env.oauth.certificate?.thumbprint,
  })
  const windows = { renewBeforeMs: env.renewBeforeMs, waitBeforeMs: 0 }
  const renewAt = softEdge({ now: receivedAt, expiresAt }, windows, env.random)
  const set = {
    // Higher than that of every session before it, and than the mark that the end of one has left.
    generation: Math.floor(clock.now()),
    client: client.mark,
    subject: String(subject),
    issuer: typeof told?.iss === 'string' ? told.iss : definition.issuer,
    refreshToken: refresh_token,
    refreshTokenExpiresAt: refreshExpiryFrom(Object(login), receivedAt),
    jkt,
    idToken: id_token,
    scope: scope ?? definition.scope,
    accessTokens: [{ shape: shapeOf(client.read()), token, renewAt }],
    startedAt: receivedAt,
  }
  const made =
    claims ??
    (await env.transformClaims?.({ clientName: name, subject: set.subject, idTokenClaims: told ?? {}, claims }))
  return createTokenSet({ ...set, claims: made })
}

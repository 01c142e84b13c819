import { shapeOf } from '../../client/index.ts'
import { sessionExpiryIn } from '../../oauth/index.ts'
import { softEdge } from '../../source/index.ts'
import { ConfigurationError, createAccessToken } from '../../token/index.ts'
import { createTokenSet, type TokenSet } from '../token-set/token-set.ts'
import type { UserClient } from '../user-client.ts'
import { checkedLogin } from './checked-login.ts'
import { transformed } from './claims.ts'
import type { LoginResponse } from './login-response.ts'

/** A login, and whose it has to be, where that is known. */
export interface Adoption {
  readonly login: LoginResponse
  readonly subject: string | undefined
}

/**
 * Makes the first set of a session out of a login.
 *
 * @throws ConfigurationError with code `login_invalid` or `claims_late`.
 */
export async function adopted(client: UserClient, adoption: Adoption): Promise<TokenSet> {
  const { env, name, definition } = client
  const { clock, certificate } = env.oauth
  const now = clock.now()
  const refuse = (expected: string, cause?: unknown): ConfigurationError =>
    new ConfigurationError(`client "${name}", adopt: expected ${expected}`, { code: 'login_invalid', cause })
  const login = checkedLogin(adoption.login, { client, subject: adoption.subject, now, refuse })
  const { accessToken, refreshToken, refreshTokenExpiresAt, idToken, jkt, subject, told, receivedAt, expiresAt } = login
  const scope = login.scope ?? definition.scope
  const bound = { jkt, certificateThumbprint: certificate?.thumbprint }
  const tokenType = login.isBound ? 'DPoP' : 'Bearer'
  const token = createAccessToken({ accessToken, tokenType, expiresAt, scope, ...bound })
  const windows = { renewBeforeMs: env.renewBeforeMs, waitBeforeMs: 0 }
  const renewAt = softEdge({ now: receivedAt, expiresAt }, windows, env.random)
  const change = { clientName: name, subject, idTokenClaims: told ?? {}, claims: undefined }
  return createTokenSet({
    // Higher than that of every session before it, and than the mark that the end of one has left.
    generation: Math.floor(now),
    client: client.mark,
    subject,
    issuer: typeof told?.iss === 'string' ? told.iss : definition.issuer,
    refreshToken,
    refreshTokenExpiresAt,
    sessionExpiresAt: sessionExpiryIn(told),
    jkt,
    idToken,
    scope,
    accessTokens: [{ shape: shapeOf(client.read()), token, renewAt }],
    startedAt: receivedAt,
    signedInAt: typeof told?.iat === 'number' ? told.iat * 1000 : undefined,
    claims: login.claims ?? (await transformed(env, change, { ms: env.deadlineMs, code: 'login_invalid' })),
  })
}

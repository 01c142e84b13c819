import { idTokenFault, requestToken, type TokenResponse } from '../../oauth/index.ts'
import { softEdge } from '../../source/index.ts'
import { type AccessToken, createAccessToken, TokenResponseError, TransportError } from '../../token/index.ts'
import { withDeadline } from '../../util/index.ts'
import type { SessionEnvironment, SessionRequest } from '../session-environment.ts'
import type { TokenSet } from '../token-set/token-set.ts'

/** What a refresh has brought, checked. */
export interface RefreshAnswer {
  readonly response: TokenResponse
  readonly renewAt: number
}

/**
 * Spends a refresh token (RFC 6749 section 6). Once it is sent nobody's signal ends it: what comes back has to be kept.
 *
 * @throws TokenEndpointError, TokenResponseError, TransportError, ConfigurationError as every token request does; SessionError with code
 * `dpop_key_lost` where the refresh token is bound to a key that is gone; TokenResponseError with code `id_token_invalid` where the answer is about
 * somebody else.
 */
export async function requestRefresh(
  env: SessionEnvironment,
  set: TokenSet,
  { shape, scope, resource, parameters, authentication }: SessionRequest,
): Promise<RefreshAnswer> {
  const { oauth, deadlineMs } = env
  const { clock, clientName } = oauth
  const wire = new URLSearchParams()
  for (const [name, value] of Object.entries(parameters)) if (value !== '') wire.set(name, value)
  wire.set('refresh_token', set.refreshToken ?? '')
  if (scope !== undefined) wire.set('scope', scope)
  for (const value of resource) wire.append('resource', value)
  const jkt = await keyFor(env, set, authentication.method === 'none')
  const late = (): Error =>
    new TransportError(`client "${clientName}": expected a refresh within ${deadlineMs} ms, got no answer`, {
      code: 'timeout',
      retryable: true,
      ambiguous: true,
    })
  // A scope that is less than what was asked for is told after the new refresh token is safe.
  const client = { ...oauth, acceptsNarrowedScope: true }
  const response = await withDeadline(
    (signal) =>
      requestToken(client, { grantType: 'refresh_token', parameters: wire, scope, authentication, jkt, signal }),
    { clock, ms: deadlineMs, error: late },
  )
  assertSameUser(clientName, set, response)
  const before = set.accessTokens.find((each) => each.shape === shape)?.token
  const token = withScopeOf(before, response.token)
  const { expiresAt } = token
  const windows = { renewBeforeMs: env.renewBeforeMs, waitBeforeMs: 0 }
  return { response: { ...response, token }, renewAt: softEdge({ now: clock.now(), expiresAt }, windows, env.random) }
}

/**
 * The key that the next token is bound to: that of the session, while it is there. A refresh token of a client that authenticates is not bound to a key
 * (RFC 9449 section 5), so it can go on with the ring's; one of a public client cannot.
 */
async function keyFor({ dpop }: SessionEnvironment, { jkt }: TokenSet, isPublic: boolean): Promise<string | undefined> {
  if (dpop === undefined) return undefined
  if (jkt !== undefined && (isPublic || (await dpop.prover.finds(jkt)))) return jkt
  return (await dpop.keys.current()).jkt
}

/** OpenID Connect Core section 12.2. */
function assertSameUser(clientName: string, { idToken, subject }: TokenSet, { idToken: fresh }: TokenResponse): void {
  if (fresh === undefined) return
  const fault = idTokenFault(fresh, { before: idToken, subject })
  if (fault === undefined) return
  throw new TokenResponseError(`client "${clientName}": expected an ID token of the same user, got another ${fault}`, {
    code: 'id_token_invalid',
  })
}

/** A scope that is left out is the one that was granted before (RFC 6749 section 6). */
function withScopeOf(before: AccessToken | undefined, token: AccessToken): AccessToken {
  if (token.scope !== undefined || before?.scope === undefined) return token
  const { accessToken, tokenType, expiresAt, jkt, certificateThumbprint } = token
  return createAccessToken({ accessToken, tokenType, expiresAt, scope: before.scope, jkt, certificateThumbprint })
}

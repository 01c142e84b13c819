import { type ClientAuthentication, revokeToken } from '../oauth/index.ts'
import { errorName } from '../telemetry/index.ts'
import { type TokenRequest, TransportError } from '../token/index.ts'
import { withDeadline } from '../util/index.ts'
import type { SessionEnvironment } from './session-environment.ts'
import type { TokenSet } from './token-set.ts'

/** What became of the tokens of a set at the server. */
export interface RevocationOutcome {
  /** Whether the server took back everything that it was asked to. */
  readonly isComplete: boolean
}

/**
 * Tells the server that a set is not needed any more (RFC 7009), the refresh token first: with it most servers take back its access tokens. As well as it can be done
 * within the deadline; a failure is an event, for the session is over here all the same. `parameters` of the request go with each, those of the client do not: they
 * are for tokens that are asked for.
 */
export async function revokeSet(
  env: SessionEnvironment,
  set: TokenSet,
  request: TokenRequest = {},
): Promise<RevocationOutcome> {
  const { refreshToken, jkt, accessTokens } = set
  const { parameters } = request
  const authentication = env.authenticationFor(request)
  const isRevoked =
    refreshToken !== undefined &&
    (await revoke(env, { authentication, parameters, token: refreshToken, hint: 'refresh_token', jkt }))
  const now = env.oauth.clock.now()
  const living = accessTokens.filter(({ token }) => now < token.expiresAt)
  const done = await Promise.all(
    living.map(({ token }) =>
      revoke(env, { authentication, parameters, token: token.accessToken, hint: 'access_token', jkt: token.jkt }),
    ),
  )
  return { isComplete: (refreshToken === undefined || isRevoked) && done.every(Boolean) }
}

interface Revocable {
  readonly token: string
  readonly hint: 'access_token' | 'refresh_token'
  readonly jkt: string | undefined
  readonly authentication: ClientAuthentication
  readonly parameters: Readonly<Record<string, string>> | undefined
}

async function revoke(
  env: SessionEnvironment,
  { token, hint, authentication, parameters, jkt: boundTo }: Revocable,
): Promise<boolean> {
  const { oauth, dpop, telemetry, deadlineMs: ms } = env
  const { clientName, clock } = oauth
  // Without its key the token can be revoked all the same, unless the server asks for a proof.
  const jkt = boundTo !== undefined && dpop?.prover.holds(boundTo) ? boundTo : undefined
  const error = (): Error =>
    new TransportError(`client "${clientName}": expected the revocation to end within ${ms} ms, got no answer`, {
      code: 'timeout',
      retryable: true,
      ambiguous: true,
    })
  try {
    await withDeadline(
      (signal) => revokeToken(oauth, { token, tokenTypeHint: hint, parameters, authentication, jkt, signal }),
      {
        clock,
        ms,
        error,
      },
    )
    return true
  } catch (cause) {
    telemetry.note({ name: 'revocation_failed', client: clientName, error: errorName(cause) })
    return false
  }
}

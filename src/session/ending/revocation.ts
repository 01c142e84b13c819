import { type ClientAuthentication, revokeToken } from '../../oauth/index.ts'
import { errorName } from '../../telemetry/index.ts'
import { isEvertokenError, type TokenRequest, TransportError } from '../../token/index.ts'
import { withDeadline } from '../../util/index.ts'
import { revocationRequest } from '../request-customizer.ts'
import type { SessionEnvironment } from '../session-environment.ts'
import type { TokenSet } from '../token-set/token-set.ts'

/** What became of the tokens of a set at the server. */
export interface RevocationOutcome {
  /** Whether the server took back everything that it was asked to. */
  readonly isComplete: boolean
}

/**
 * Tells the server that a set is not needed any more (RFC 7009), the refresh token first: with it most servers take back its access tokens. As well as it can be done
 * within the deadline, and a few times more behind the caller where the server is down; a failure is an event, for the session is over here all the same. `parameters`
 * of the request go with each, those of the client do not: they are for tokens that are asked for.
 */
export async function revokeSet(
  env: SessionEnvironment,
  set: TokenSet,
  given?: TokenRequest,
): Promise<RevocationOutcome> {
  const { refreshToken, jkt, accessTokens } = set
  const request = given ?? (await ownRequest(env))
  if (request === undefined) return { isComplete: false }
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

/** Of a revocation that nobody asked for by itself; nothing, and an event, where the customiser fails. */
async function ownRequest(env: SessionEnvironment): Promise<TokenRequest | undefined> {
  try {
    return (await revocationRequest(env, undefined)) ?? {}
  } catch (error) {
    failed(env, error)
    return undefined
  }
}

interface Revocable {
  readonly token: string
  readonly hint: 'access_token' | 'refresh_token'
  readonly jkt: string | undefined
  readonly authentication: ClientAuthentication
  readonly parameters: Readonly<Record<string, string>> | undefined
}

/** So often a server that is down is told, and with which pauses in between where it does not say. */
const MAX_TRIES = 4
const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 60_000

async function revoke(env: SessionEnvironment, revocable: Revocable): Promise<boolean> {
  try {
    await send(env, revocable)
    return true
  } catch (error) {
    // Whoever signs out waits for one try and no longer.
    if (isEvertokenError(error) && error.retryable) env.closing.afterwards(() => tryAgain(env, revocable, error))
    else failed(env, error)
    return false
  }
}

/** The token is taken to live until the server has been told; a manager that closes does not wait for long. */
async function tryAgain(env: SessionEnvironment, revocable: Revocable, first: unknown): Promise<void> {
  const { closing, oauth } = env
  let error = first
  let isLast = false
  for (let tries = 1; tries < MAX_TRIES && !isLast && isEvertokenError(error) && error.retryable; tries++) {
    const askedMs = 'retryAt' in error && error.retryAt !== undefined ? error.retryAt - oauth.clock.now() : 0
    await closing.pause(Math.min(Math.max(FIRST_PAUSE_MS * 2 ** (tries - 1), askedMs), LONGEST_PAUSE_MS))
    isLast = closing.hasBegun
    try {
      return await send(env, revocable)
    } catch (next) {
      error = next
    }
  }
  failed(env, error)
}

function failed({ oauth, telemetry }: SessionEnvironment, error: unknown): void {
  telemetry.note({ name: 'revocation_failed', client: oauth.clientName, error: errorName(error) })
}

async function send(
  { oauth, dpop, deadlineMs: ms }: SessionEnvironment,
  { token, hint, authentication, parameters, jkt: boundTo }: Revocable,
): Promise<void> {
  const { clientName, clock } = oauth
  // Without its key the token can be revoked all the same, unless the server asks for a proof.
  const jkt = boundTo !== undefined && dpop?.prover.holds(boundTo) ? boundTo : undefined
  const error = (): Error =>
    new TransportError(`client "${clientName}": expected the revocation to end within ${ms} ms, got no answer`, {
      code: 'timeout',
      retryable: true,
      ambiguous: true,
    })
  const work = (signal: AbortSignal): Promise<void> =>
    revokeToken(oauth, { token, tokenTypeHint: hint, parameters, authentication, jkt, signal })
  await withDeadline(work, { clock, ms, error })
}

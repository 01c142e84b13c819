import * as oauth from 'oauth4webapi'
import type { TelemetryEvent } from '../telemetry/index.ts'
import {
  type AccessToken,
  createAccessToken,
  isTokenText,
  MAX_TOKEN_LENGTH,
  TokenResponseError,
} from '../token/index.ts'
import { refreshExpiryFrom } from './refresh-expiry.ts'
import type { ServerMetadata } from './server-metadata.ts'
import { lifetimeFrom, type TokenLifetimeLimits } from './token-lifetime.ts'

/** A successful answer of the token endpoint, checked (RFC 6749 section 5.1). */
export interface TokenResponse {
  readonly token: AccessToken
  readonly refreshToken?: string | undefined
  /** Milliseconds since the epoch, where the server says so. */
  readonly refreshTokenExpiresAt?: number | undefined
  readonly idToken?: string | undefined
}

/** What the answer is measured by. */
export interface TokenExpectation {
  readonly clientName: string
  readonly clientId: string
  readonly scope?: string | undefined
  readonly acceptsNarrowedScope: boolean
  readonly limits: TokenLifetimeLimits
  /** When the request left: lifetimes count from here. */
  readonly sentAt: number
  /** Of the certificate that the token is bound to, as the connection was made with it (RFC 8705 section 3). */
  readonly certificateThumbprint?: string | undefined
  /** Thumbprint of the key that was proved, where one was: the token has to be bound to it (RFC 9449 section 5). */
  readonly jkt?: string | undefined
  readonly note: (event: TelemetryEvent) => void
}

/**
 * Checks a token response and makes the token.
 *
 * @throws TokenResponseError with code `token_response_invalid`, `token_type_unsupported`, `dpop_downgraded` or
 * `insufficient_granted_scope`.
 */
export async function tokenResponseFrom(
  json: Readonly<Record<string, unknown>>,
  metadata: ServerMetadata,
  expected: TokenExpectation,
): Promise<TokenResponse> {
  const { clientName: client, note } = expected
  assertTokenText(json.access_token, expected)
  const wire = await checkWithEngine(json, metadata, expected)

  const lifetimeMs = lifetimeFrom(json.expires_in, expected.limits)
  if (lifetimeMs === undefined) note({ name: 'lifetime_invalid', client })
  return {
    token: createAccessToken({
      accessToken: wire.access_token,
      tokenType: expected.jkt === undefined ? 'Bearer' : 'DPoP',
      expiresAt: lifetimeMs === undefined ? 0 : expected.sentAt + lifetimeMs,
      scope: grantedScope(wire.scope, expected),
      jkt: expected.jkt,
      certificateThumbprint: expected.certificateThumbprint,
    }),
    refreshToken: wire.refresh_token,
    refreshTokenExpiresAt: refreshExpiryFrom(json, expected.sentAt),
    idToken: wire.id_token,
  }
}

function assertTokenText(value: unknown, { clientName }: TokenExpectation): void {
  if (isTokenText(value)) return
  throw new TokenResponseError(
    `client "${clientName}": expected access_token to be 1 to ${MAX_TOKEN_LENGTH} printable characters, got something else`,
    { code: 'token_response_invalid' },
  )
}

/** Hands the members that this library knows, and no others, to the protocol engine. */
async function checkWithEngine(
  json: Readonly<Record<string, unknown>>,
  { issuer, wire }: ServerMetadata,
  expected: TokenExpectation,
): Promise<oauth.TokenEndpointResponse> {
  const { clientName, clientId } = expected
  const { access_token, token_type, scope, refresh_token, id_token } = json
  const members = {
    access_token,
    token_type,
    ...(scope !== undefined && { scope }),
    ...(refresh_token !== null && refresh_token !== '' && { refresh_token }),
    // Without an issuer an ID token cannot be checked, and what cannot be checked is not passed on.
    ...(issuer !== undefined && id_token !== null && { id_token }),
  }
  const response = new Response(JSON.stringify(members), { headers: { 'content-type': 'application/json' } })
  let checked: oauth.TokenEndpointResponse
  try {
    checked = await oauth.processGenericTokenEndpointResponse(wire, { client_id: clientId }, response)
  } catch (error) {
    const isType = error instanceof oauth.UnsupportedOperationError
    // The engine's texts are fixed; its causes hold the answer and are left behind.
    const reason = error instanceof Error ? error.message : 'an answer that breaks the protocol'
    throw new TokenResponseError(`client "${clientName}": expected a valid token response, got: ${reason}`, {
      code: isType ? 'token_type_unsupported' : 'token_response_invalid',
    })
  }
  assertTokenType(checked.token_type, expected)
  return checked
}

/** A token that is not bound although a proof was sent is discarded (RFC 9449 section 5): anybody could use it. */
function assertTokenType(came: string, { clientName, jkt }: TokenExpectation): void {
  const wanted = jkt === undefined ? 'Bearer' : 'DPoP'
  if (came === wanted.toLowerCase()) return
  throw new TokenResponseError(`client "${clientName}": expected token_type ${wanted}, got ${came}`, {
    code: jkt === undefined ? 'token_type_unsupported' : 'dpop_downgraded',
  })
}

/** The scope of the token: what the server says it is, or what was asked for when it says nothing. */
function grantedScope(granted: string | undefined, expected: TokenExpectation): string | undefined {
  const { scope: requested, clientName: client, acceptsNarrowedScope, note } = expected
  if (granted === undefined || granted === requested) return requested
  const has = new Set(granted.split(' '))
  const wanted = requested === undefined ? [] : requested.split(' ')
  const missing = wanted.filter((value) => !has.has(value))
  if (missing.length > 0 && !acceptsNarrowedScope) {
    throw new TokenResponseError(
      `client "${client}": expected scope "${requested}" to be granted, got a token without "${missing.join(' ')}"`,
      { code: 'insufficient_granted_scope', missingScope: missing.join(' ') },
    )
  }
  if (missing.length > 0 || has.size !== new Set(wanted).size) note({ name: 'scope_changed', client })
  return granted
}

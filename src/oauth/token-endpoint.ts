import * as oauth from 'oauth4webapi'
import { observe } from '../telemetry/index.ts'
import { SessionError } from '../token/index.ts'
import { sendAuthenticated } from './authenticated-exchange.ts'
import type { ClientAuthentication } from './client-authentication/index.ts'
import { requireJsonAnswer } from './json-answer.ts'
import { endpointsFor } from './mtls-endpoints.ts'
import type { OAuthClient } from './oauth-client.ts'
import { type TokenResponse, tokenResponseFrom } from './token-response.ts'

/** What is asked of the token endpoint (RFC 6749 section 3.2), and how the client proves itself. */
export interface TokenEndpointRequest {
  readonly grantType: string
  readonly parameters: URLSearchParams
  /** The scope that is asked for, to compare the granted one with. */
  readonly scope?: string | undefined
  readonly authentication: ClientAuthentication
  /** Thumbprint of the key that the token is to be bound to, or that the grant is bound to already (RFC 9449 section 5). */
  readonly jkt?: string | undefined
  readonly signal: AbortSignal
}

/**
 * Sends one token request and checks the answer: no redirect, at most 1 MiB.
 *
 * @throws TokenEndpointError when the server refuses; TokenResponseError when its answer breaks the protocol; TransportError
 * when no answer comes; ConfigurationError when the client cannot authenticate; SessionError with code `dpop_key_lost` when a refresh token is
 * bound to a key that is gone.
 */
export function requestToken(client: OAuthClient, request: TokenEndpointRequest): Promise<TokenResponse> {
  const { clientName, telemetry } = client
  const { grantType } = request
  return observe(telemetry, { name: 'token.request', client: clientName, grantType }, () => attempt(client, request))
}

async function attempt(client: OAuthClient, request: TokenEndpointRequest): Promise<TokenResponse> {
  const { clientName, clientId, acceptsNarrowedScope, limits, telemetry } = client
  const { grantType, parameters, scope, authentication, jkt, signal } = request
  await assertHeld(client, request)
  const subject = `client "${clientName}"`
  const metadata = endpointsFor(client, await client.server.metadata())
  const { wire, tokenEndpoint: url } = metadata
  const engine = { client_id: clientId }
  const { answer, refusal, accepted } = await sendAuthenticated(client, {
    subject,
    authentication,
    jkt,
    url,
    metadata,
    signal,
    send: ({ authenticate, options }) =>
      oauth.genericTokenEndpointRequest(wire, engine, authenticate, grantType, parameters, options),
  })
  const json = requireJsonAnswer(answer, subject)
  if ('error' in json) throw refusal(json)
  const response = await tokenResponseFrom(json, metadata, {
    clientName,
    clientId,
    scope,
    acceptsNarrowedScope,
    limits,
    sentAt: answer.sentAt,
    certificateThumbprint: answer.certificateThumbprint,
    jkt,
    note: (event) => telemetry.note(event),
  })
  accepted(response.token.expiresAt)
  return response
}

/** A refresh token that is bound to a key is worth nothing without it, and is not shown to anybody with another (RFC 9449 section 5). */
async function assertHeld(
  { clientName, proofs }: OAuthClient,
  { grantType, jkt }: TokenEndpointRequest,
): Promise<void> {
  if (grantType !== 'refresh_token' || jkt === undefined || (await proofs?.finds(jkt))) return
  throw new SessionError(
    `client "${clientName}": expected the key that the refresh token is bound to, got a ring without it`,
    {
      code: 'dpop_key_lost',
      reason: 'dpop_key_lost',
    },
  )
}

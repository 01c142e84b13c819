import * as oauth from 'oauth4webapi'
import { observe } from '../telemetry/index.ts'
import type { ClientAuthentication } from './client-authentication/index.ts'
import { createExchange, engineOptions } from './exchange.ts'
import { readJsonAnswer, requireJsonAnswer } from './json-answer.ts'
import type { OAuthClient } from './oauth-client.ts'
import { tokenEndpointError } from './token-error.ts'
import { type TokenResponse, tokenResponseFrom } from './token-response.ts'

/** What is asked of the token endpoint (RFC 6749 section 3.2), and how the client proves itself. */
export interface TokenEndpointRequest {
  readonly grantType: string
  readonly parameters: URLSearchParams
  /** The scope that is asked for, to compare the granted one with. */
  readonly scope?: string | undefined
  readonly authentication: ClientAuthentication
  readonly signal: AbortSignal
}

/**
 * Sends one token request and checks the answer: one attempt, no redirect, at most 1 MiB.
 *
 * @throws TokenEndpointError when the server refuses; TokenResponseError when its answer breaks the protocol; TransportError
 * when no answer comes; ConfigurationError when the client cannot authenticate.
 */
export function requestToken(client: OAuthClient, request: TokenEndpointRequest): Promise<TokenResponse> {
  const { clientName, telemetry } = client
  const { grantType } = request
  return observe(telemetry, { name: 'token.request', client: clientName, grantType }, () => attempt(client, request))
}

async function attempt(
  client: OAuthClient,
  { grantType, parameters, scope, authentication, signal }: TokenEndpointRequest,
): Promise<TokenResponse> {
  const { clientName, clientId, clock } = client
  const subject = `client "${clientName}"`
  const metadata = await client.server.metadata()
  const exchange = createExchange(client, authentication, { url: metadata.tokenEndpoint, metadata, signal })

  const engine = { client_id: clientId }
  const options = engineOptions(exchange, signal)
  await oauth.genericTokenEndpointRequest(metadata.wire, engine, exchange.authenticate, grantType, parameters, options)

  const answer = exchange.answer()
  if (answer.status !== 200) {
    const json = readJsonAnswer(answer)
    const told = typeof json === 'string' ? undefined : json
    throw tokenEndpointError(answer, told, { subject, clock, ...exchange.sent() })
  }
  const json = requireJsonAnswer(answer, subject)
  if ('error' in json) throw tokenEndpointError(answer, json, { subject, clock, ...exchange.sent() })
  const { acceptsNarrowedScope, limits, telemetry } = client
  return tokenResponseFrom(json, metadata, {
    clientName,
    clientId,
    scope,
    acceptsNarrowedScope,
    limits,
    sentAt: answer.sentAt,
    note: (event) => telemetry.note(event),
  })
}

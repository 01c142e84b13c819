import * as oauth from 'oauth4webapi'
import { ConfigurationError } from '../token/index.ts'
import type { ClientAuthentication } from './client-authentication/index.ts'
import { createExchange, engineOptions } from './exchange.ts'
import { readJsonAnswer } from './json-answer.ts'
import type { OAuthClient } from './oauth-client.ts'
import { tokenEndpointError } from './token-error.ts'

/** A token to revoke, and how the client proves itself. */
export interface RevocationRequest {
  readonly token: string
  readonly tokenTypeHint: 'access_token' | 'refresh_token'
  readonly authentication: ClientAuthentication
  readonly signal: AbortSignal
}

/**
 * Tells the server that a token is not needed any more (RFC 7009 section 2.1). A token that it does not know counts as
 * revoked (section 2.2).
 *
 * @throws ConfigurationError with code `revocation_unsupported` when the server names no endpoint for it;
 * TokenEndpointError when it refuses; TransportError when no answer comes.
 */
export async function revokeToken(client: OAuthClient, request: RevocationRequest): Promise<void> {
  const { clientName, clientId, clock } = client
  const { token, tokenTypeHint, authentication, signal } = request
  const metadata = await client.server.metadata()
  const url = metadata.revocationEndpoint
  if (url === undefined) {
    throw new ConfigurationError(`client "${clientName}": expected a server with a revocation endpoint, got none`, {
      code: 'revocation_unsupported',
    })
  }
  const exchange = createExchange(client, authentication, { url, metadata, signal })
  await oauth.revocationRequest(metadata.wire, { client_id: clientId }, exchange.authenticate, token, {
    ...engineOptions(exchange, signal),
    additionalParameters: { token_type_hint: tokenTypeHint },
  })
  const answer = exchange.answer()
  if (answer.status === 200) return
  const json = readJsonAnswer(answer)
  const refused = { subject: `client "${clientName}", revocation`, clock, ...exchange.sent() }
  throw tokenEndpointError(answer, typeof json === 'string' ? undefined : json, refused)
}

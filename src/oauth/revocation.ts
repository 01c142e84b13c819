import * as oauth from 'oauth4webapi'
import { ConfigurationError } from '../token/index.ts'
import { sendAuthenticated } from './authenticated-exchange.ts'
import type { ClientAuthentication } from './client-authentication/index.ts'
import { endpointsFor } from './mtls-endpoints.ts'
import type { OAuthClient } from './oauth-client.ts'

/** A token to revoke, and how the client proves itself. */
export interface RevocationRequest {
  readonly token: string
  readonly tokenTypeHint: 'access_token' | 'refresh_token'
  /** Further parameters, checked; one with an empty value is not sent. */
  readonly parameters?: Readonly<Record<string, string>> | undefined
  /** Thumbprint of the key that the token is bound to: a server may ask for a proof before it lets go of the token. */
  readonly jkt?: string | undefined
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
  const { clientName, clientId } = client
  const { token, tokenTypeHint, parameters = {}, authentication, jkt, signal } = request
  const metadata = endpointsFor(client, await client.server.metadata())
  const { wire, revocationEndpoint: url } = metadata
  if (url === undefined) {
    throw new ConfigurationError(`client "${clientName}": expected a server with a revocation endpoint, got none`, {
      code: 'revocation_unsupported',
    })
  }
  const sent = Object.entries(parameters).filter(([, value]) => value !== '')
  const { accepted } = await sendAuthenticated(client, {
    subject: `client "${clientName}", revocation`,
    authentication,
    jkt,
    url,
    metadata,
    signal,
    send: ({ authenticate, options }) =>
      oauth.revocationRequest(wire, { client_id: clientId }, authenticate, token, {
        ...options,
        additionalParameters: { ...Object.fromEntries(sent), token_type_hint: tokenTypeHint },
      }),
  })
  accepted()
}

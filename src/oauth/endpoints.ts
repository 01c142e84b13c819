import type { OAuthClient } from './oauth-client.ts'
import type { RevocationRequest } from './revocation.ts'
import type { TokenEndpointRequest } from './token-endpoint.ts'
import type { TokenResponse } from './token-response.ts'

// The protocol engine is loaded when something is first sent: a program that starts does not wait for it.
let tokenEndpoint: typeof import('./token-endpoint.ts') | undefined
let revocation: typeof import('./revocation.ts') | undefined

/**
 * Sends one token request and checks the answer: one attempt, no redirect, at most 1 MiB (RFC 6749 section 3.2).
 *
 * @throws TokenEndpointError when the server refuses; TokenResponseError when its answer breaks the protocol; TransportError
 * when no answer comes; ConfigurationError when the client cannot authenticate.
 */
export async function requestToken(client: OAuthClient, request: TokenEndpointRequest): Promise<TokenResponse> {
  tokenEndpoint ??= await import('./token-endpoint.ts')
  return tokenEndpoint.requestToken(client, request)
}

/**
 * Tells the server that a token is not needed any more (RFC 7009 section 2.1). A token that it does not know counts as
 * revoked (section 2.2).
 *
 * @throws ConfigurationError with code `revocation_unsupported` when the server names no endpoint for it;
 * TokenEndpointError when it refuses; TransportError when no answer comes.
 */
export async function revokeToken(client: OAuthClient, request: RevocationRequest): Promise<void> {
  revocation ??= await import('./revocation.ts')
  return revocation.revokeToken(client, request)
}

import type { OAuthClient } from './oauth-client.ts'
import type { ServerMetadata } from './server-metadata.ts'

/**
 * The endpoints that a client uses: those under `mtls_endpoint_aliases` when it presents a certificate, each of them where the
 * server names one (RFC 8705 section 5).
 */
export function endpointsFor(
  { certificate }: Pick<OAuthClient, 'certificate'>,
  metadata: ServerMetadata,
): ServerMetadata {
  const { mtlsEndpointAliases: aliases } = metadata
  if (certificate === undefined || aliases === undefined) return metadata
  const tokenEndpoint = aliases.tokenEndpoint ?? metadata.tokenEndpoint
  const revocationEndpoint = aliases.revocationEndpoint ?? metadata.revocationEndpoint
  return {
    ...metadata,
    tokenEndpoint,
    revocationEndpoint,
    wire: {
      ...metadata.wire,
      token_endpoint: tokenEndpoint.href,
      ...(revocationEndpoint !== undefined && { revocation_endpoint: revocationEndpoint.href }),
    },
  }
}

import { generateKeyPairSync, type X509Certificate } from 'node:crypto'
import { createServer } from 'node:https'
import type { JSONWebKeySet } from 'jose'
import { type ClientMetadata, errors, type JWK, type KoaContextWithOIDC, Provider } from 'oidc-provider'
import { listenOnLoopback } from '../../demo/loopback.ts'
import { memoryAdapter } from '../../demo/memory-adapter.ts'
import { type SeenTokenRequest, seenTokenRequest } from '../../demo/token-request-log.ts'
import type { CertificateAuthority } from './certificates.ts'
import { mtlsOptions, peerOf, thumbprintOf } from './mtls-servers.ts'

/** What the provider is told. */
export interface MtlsProviderOptions {
  readonly authority: CertificateAuthority
  readonly clients: readonly ClientMetadata[]
  /** Whether the metadata names the endpoints that ask for certificates (RFC 8705 section 5). Default: true. */
  readonly hasAliases?: boolean
}

/** A token request, and how the connection was that it came over. */
export interface SeenMtlsRequest extends SeenTokenRequest {
  readonly listener: 'plain' | 'mtls'
  /** Of the connection's certificate. */
  readonly thumbprint: string | undefined
}

/** A real OpenID Connect provider with two listeners: one that asks for client certificates, and one that does not. */
export interface MtlsProvider extends AsyncDisposable {
  /** Its metadata, and endpoints without certificates. */
  readonly issuer: string
  /** The same endpoints, on connections that ask for a certificate. */
  readonly mtlsOrigin: string
  /** What access tokens are signed with. */
  readonly jwks: JSONWebKeySet
  readonly tokenRequests: readonly SeenMtlsRequest[]
  readonly revocations: readonly SeenMtlsRequest[]
  readonly provider: Provider
  close(): Promise<void>
}

/** What all tokens of the provider are for, unless they name another. */
export const MTLS_RESOURCE = 'urn:api'

/** Metadata of a client that is known by its certificate itself (RFC 8705 section 2.2). */
export function selfSignedClient(clientId: string, cert: X509Certificate): ClientMetadata {
  const jwk = { ...cert.publicKey.export({ format: 'jwk' }), x5c: [cert.raw.toString('base64')] } as JWK
  return {
    client_id: clientId,
    token_endpoint_auth_method: 'self_signed_tls_client_auth',
    jwks: { keys: [jwk] },
  }
}

/** Starts `oidc-provider` behind TLS, with certificate-bound tokens for every client. */
export async function startMtlsProvider(options: MtlsProviderOptions): Promise<MtlsProvider> {
  const { authority, hasAliases = true } = options
  const tokenRequests: SeenMtlsRequest[] = []
  const revocations: SeenMtlsRequest[] = []
  const logs: Readonly<Record<string, SeenMtlsRequest[]>> = {
    '/token': tokenRequests,
    '/token/revocation': revocations,
  }
  const plainServer = createServer(await authority.issue())
  const mtlsServer = createServer(await mtlsOptions(authority))
  const plain = await listenOnLoopback(plainServer)
  const mtls = await listenOnLoopback(mtlsServer)
  const issuer = `https://127.0.0.1:${plain.port}`
  const mtlsOrigin = `https://127.0.0.1:${mtls.port}`
  const signingKey = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const provider = createProvider(issuer, options, {
    jwk: { ...signingKey.privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'signing-key' } as JWK,
    aliases: hasAliases
      ? { token_endpoint: `${mtlsOrigin}/token`, revocation_endpoint: `${mtlsOrigin}/token/revocation` }
      : undefined,
  })
  provider.use(async (context, next) => {
    await next()
    const log = logs[context.path]
    if (log === undefined) return
    const { socket } = context.req
    const peer = peerOf(socket)
    log.push({
      ...seenTokenRequest(context),
      listener: socket.localPort === mtls.port ? 'mtls' : 'plain',
      thumbprint: peer && thumbprintOf(peer.raw),
    })
  })
  plainServer.on('request', provider.callback())
  mtlsServer.on('request', provider.callback())
  const close = async (): Promise<void> => {
    await Promise.all([plain.shut(), mtls.shut()])
  }
  const jwks = {
    keys: [{ ...signingKey.publicKey.export({ format: 'jwk' }), kty: 'EC', alg: 'ES256', kid: 'signing-key' }],
  }
  return { issuer, mtlsOrigin, jwks, tokenRequests, revocations, provider, close, [Symbol.asyncDispose]: close }
}

interface ProviderParts {
  readonly jwk: JWK
  readonly aliases: Readonly<Record<string, string>> | undefined
}

function createProvider(issuer: string, { clients }: MtlsProviderOptions, { jwk, aliases }: ProviderParts): Provider {
  return new Provider(issuer, {
    adapter: memoryAdapter(),
    clients: clients.map((client) => ({
      redirect_uris: [],
      response_types: [],
      grant_types: ['client_credentials'],
      tls_client_certificate_bound_access_tokens: true,
      // The provider has no other key, and asks for it even where no ID token is ever made.
      id_token_signed_response_alg: 'ES256',
      ...client,
    })),
    scopes: ['offline_access', 'read'],
    jwks: { keys: [jwk] },
    ttl: { AccessToken: 600, ClientCredentials: 600, Grant: 600, RefreshToken: 600 },
    rotateRefreshToken: true,
    findAccount: (_context, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    cookies: { keys: ['not used by machine clients'] },
    clientAuthMethods: ['tls_client_auth', 'self_signed_tls_client_auth', 'private_key_jwt', 'client_secret_basic'],
    discovery: aliases === undefined ? {} : { mtls_endpoint_aliases: aliases },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: true,
        getCertificate: (context) => peerOf(context.req.socket)?.toString(),
        certificateAuthorized: (context) => Object(context.req.socket).authorized === true,
        certificateSubjectMatches: (context, property, expected) => subjectMatches(context, property, expected),
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => MTLS_RESOURCE,
        getResourceServerInfo(_context, resource) {
          if (resource !== MTLS_RESOURCE) throw new errors.InvalidTarget()
          return {
            scope: 'read',
            audience: resource,
            accessTokenTTL: 600,
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: 'ES256' } },
          }
        },
        useGrantedResource: () => true,
      },
    },
  })
}

/** RFC 8705 section 2.1.2, as far as the tests need it. */
function subjectMatches({ req }: KoaContextWithOIDC, property: string, expected: string): boolean {
  const peer = peerOf(req.socket)
  if (property === 'tls_client_auth_subject_dn') return peer?.subject === expected
  return property === 'tls_client_auth_san_dns' && peer?.subjectAltName === `DNS:${expected}`
}

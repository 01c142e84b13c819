import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { type ClientMetadata, type Configuration, errors, type JWK, Provider } from 'oidc-provider'
import { type CodeRequest, issueCode } from './issue-code.ts'
import { listenOnLoopback } from './loopback.ts'
import { memoryAdapter } from './memory-adapter.ts'
import { type SeenAssertion, type SeenTokenRequest, seenTokenRequest } from './token-request-log.ts'

/** What the authorization server is told. */
export interface AuthorizationServerOptions {
  readonly clients: readonly ClientMetadata[]
  /** Resources that JWT access tokens are issued for, with their scope values. */
  readonly resources: Readonly<Record<string, ProtectedResource>>
  /** Whether client assertions must be addressed to the issuer, as one string, and to nothing else. Default: true. */
  readonly strictAudience?: boolean
  /** Whether proofs need a nonce of the server, which changes every minute (RFC 9449 section 8). Default: false. */
  readonly requireDPoPNonce?: boolean
  /** Awaited when a token request has come, before it is looked at. */
  readonly onTokenRequest?: () => Promise<void>
  /** Further settings of the provider, for what machine clients do not need. */
  readonly settings?: Configuration
}

/** What access tokens for one resource are like. */
export interface ProtectedResource {
  readonly scope: string
  readonly lifetimeSeconds: number
  /** How they are signed. Default: RS256. */
  readonly alg?: 'RS256' | 'ES256'
  /** Default: `jwt` (RFC 9068). Only opaque ones can be revoked. */
  readonly format?: 'jwt' | 'opaque'
}

/** A real OpenID Connect provider on a loopback port of its own. */
export interface AuthorizationServer extends AsyncDisposable {
  readonly provider: Provider
  readonly issuer: string
  readonly tokenRequests: readonly SeenTokenRequest[]
  /** Of all endpoints, as far as they were genuine. */
  readonly assertions: readonly SeenAssertion[]
  /** Issues an authorization code without a browser, for a client with the grant types `authorization_code` and `refresh_token`. */
  issueCode(request: CodeRequest): Promise<string>
  /** Refuses connections until `resume`. */
  pause(): Promise<void>
  resume(): Promise<void>
  close(): Promise<void>
}

const JWT_ALGS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const
const HMAC_ALGS = ['HS256', 'HS384', 'HS512'] as const

/** Starts `oidc-provider` for machine clients: client credentials, resource indicators, JWT access tokens, revocation. */
export async function startAuthorizationServer(options: AuthorizationServerOptions): Promise<AuthorizationServer> {
  const tokenRequests: SeenTokenRequest[] = []
  const assertions: SeenAssertion[] = []
  const server = createServer()
  const { port, shut, reopen } = await listenOnLoopback(server)
  const issuer = `http://127.0.0.1:${port}`
  const provider = createProvider(issuer, options, assertions)
  provider.use(async (context, next) => {
    if (context.path === '/token') await options.onTokenRequest?.()
    await next()
    if (context.path === '/token') tokenRequests.push(seenTokenRequest(context))
  })
  server.on('request', provider.callback())
  return {
    provider,
    issuer,
    tokenRequests,
    assertions,
    issueCode: (request) => issueCode(provider, options.resources[request.resource]?.scope ?? '', request),
    pause: shut,
    resume: reopen,
    close: shut,
    [Symbol.asyncDispose]: shut,
  }
}

function createProvider(issuer: string, options: AuthorizationServerOptions, assertions: SeenAssertion[]): Provider {
  const { clients, resources, strictAudience = true, requireDPoPNonce = false, settings = {} } = options
  const scopes = Object.values(resources).flatMap(({ scope }) => scope.split(' '))
  return new Provider(issuer, {
    adapter: memoryAdapter(),
    clients: clients.map((client) => ({
      redirect_uris: [],
      response_types: [],
      grant_types: ['client_credentials'],
      ...client,
    })),
    scopes: [...new Set(['openid', 'offline_access', ...scopes])],
    findAccount: (_context, accountId) => ({ accountId, claims: () => ({ sub: accountId }) }),
    jwks: { keys: signingKeys() },
    ttl: {
      ClientCredentials: (_context, token) => token.resourceServer?.accessTokenTTL ?? 600,
      AccessToken: (_context, token) => token.resourceServer?.accessTokenTTL ?? 600,
      Grant: 3600,
      IdToken: 600,
      RefreshToken: 3600,
    },
    cookies: { keys: ['not used by machine clients'] },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'none'],
    enabledJWA: {
      clientAuthSigningAlgValues: [...JWT_ALGS, ...HMAC_ALGS],
      dPoPSigningAlgValues: [...JWT_ALGS, 'Ed25519'],
    },
    // The successor of RFC 7523 asks for the issuer, as one string; the provider by itself takes endpoints as well.
    assertJwtClientAuthClaimsAndHeader(_context, claims, header) {
      assertions.push({ header, claims })
      if (strictAudience && claims.aud !== issuer)
        throw new errors.InvalidClientAuth('aud must be the issuer identifier')
    },
    ...settings,
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
      dPoP: {
        enabled: true,
        requireNonce: () => requireDPoPNonce,
        ...(requireDPoPNonce && { nonceSecret: randomBytes(32) }),
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => Object.keys(resources)[0] ?? '',
        getResourceServerInfo(_context, resource) {
          const known = resources[resource]
          if (known === undefined) throw new errors.InvalidTarget()
          const { scope, lifetimeSeconds, alg = 'RS256', format = 'jwt' } = known
          return {
            scope,
            audience: resource,
            accessTokenTTL: lifetimeSeconds,
            accessTokenFormat: format,
            ...(format === 'jwt' && { jwt: { sign: { alg } } }),
          }
        },
        useGrantedResource: () => true,
      },
      ...settings.features,
    },
  })
}

let keys: readonly JWK[] | undefined

/** The same for all servers of a process: RSA keys take long to make. */
function signingKeys(): JWK[] {
  keys ??= [
    signingKey('RS256', generateKeyPairSync('rsa', { modulusLength: 2048 })),
    signingKey('ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' })),
  ]
  return [...keys]
}

function signingKey(alg: string, { privateKey }: { privateKey: KeyObject }): JWK {
  return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `signing-key-${alg}` } as JWK
}

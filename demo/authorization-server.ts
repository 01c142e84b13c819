import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { type ClientMetadata, errors, Provider } from 'oidc-provider'
import { memoryAdapter } from './memory-adapter.ts'

/** What the authorization server is told. */
export interface AuthorizationServerOptions {
  readonly clients: readonly ClientMetadata[]
  /** Resources that JWT access tokens are issued for, with their scope values. */
  readonly resources: Readonly<Record<string, { readonly scope: string; readonly lifetimeSeconds: number }>>
}

/** A token request as the server saw it; nothing secret. */
export interface SeenTokenRequest {
  readonly clientId: string
  readonly scope: string | undefined
  readonly resource: unknown
  readonly status: number
}

/** A client assertion as the server saw it, without its signature. */
export interface SeenAssertion {
  readonly header: Readonly<Record<string, unknown>>
  readonly claims: Readonly<Record<string, unknown>>
}

/** A real OpenID Connect provider on a loopback port of its own. */
export interface AuthorizationServer {
  readonly issuer: string
  readonly tokenRequests: readonly SeenTokenRequest[]
  readonly assertions: readonly SeenAssertion[]
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
  const sockets = new Set<Socket>()
  let server = createServer()
  const port = await listen(server, 0, sockets)
  const issuer = `http://127.0.0.1:${port}`
  const provider = createProvider(issuer, options, assertions)
  const handle = provider.callback()
  server.on('request', handle)

  provider.use(async (context, next) => {
    await next()
    if (context.path !== '/token') return
    const { params, client } = context.oidc ?? {}
    tokenRequests.push({
      clientId: client?.clientId ?? String(params?.client_id ?? ''),
      scope: params?.scope as string | undefined,
      resource: params?.resource,
      status: context.status,
    })
  })

  async function pause(): Promise<void> {
    if (!server.listening) return
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    await closed
  }

  return {
    issuer,
    tokenRequests,
    assertions,
    pause,
    async resume() {
      server = createServer(handle)
      await listen(server, port, sockets)
    },
    close: pause,
  }
}

async function listen(server: Server, port: number, sockets: Set<Socket>): Promise<number> {
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function createProvider(issuer: string, options: AuthorizationServerOptions, assertions: SeenAssertion[]): Provider {
  const { clients, resources } = options
  const scopes = Object.values(resources).flatMap(({ scope }) => scope.split(' '))
  return new Provider(issuer, {
    adapter: memoryAdapter(),
    clients: clients.map((client) => ({
      redirect_uris: [],
      response_types: [],
      grant_types: ['client_credentials'],
      ...client,
    })),
    scopes: [...new Set(scopes)],
    jwks: { keys: [signingKey()] },
    ttl: { ClientCredentials: (_context, token) => token.resourceServer?.accessTokenTTL ?? 600 },
    cookies: { keys: ['not used by machine clients'] },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'client_secret_jwt', 'private_key_jwt', 'none'],
    enabledJWA: { clientAuthSigningAlgValues: [...JWT_ALGS, ...HMAC_ALGS] },
    // Strict, as the successor of RFC 7523 asks: the issuer, as one string, and nothing else.
    assertJwtClientAuthClaimsAndHeader(_context, claims, header) {
      assertions.push({ header, claims })
      if (claims.aud !== issuer) throw new errors.InvalidClientAuth('aud must be the issuer identifier')
    },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      revocation: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => Object.keys(resources)[0] ?? '',
        getResourceServerInfo(_context, resource) {
          const known = resources[resource]
          if (known === undefined) throw new errors.InvalidTarget()
          const { scope, lifetimeSeconds } = known
          return { scope, audience: resource, accessTokenTTL: lifetimeSeconds, accessTokenFormat: 'jwt' }
        },
        useGrantedResource: () => true,
      },
    },
  })
}

function signingKey(): Record<string, unknown> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { ...privateKey.export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid: 'signing-key' }
}
